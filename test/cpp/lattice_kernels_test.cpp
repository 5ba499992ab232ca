// The kernels of the dense CRF at every level that this CPU has, against plain loops.
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <numeric>

#include "check.h"
#include "ops/cpu/cpu_level.h"
#include "ops/lattice_key.h"
#include "ops/mean_field.h"
#include "support.h"

namespace clip_es::lattice_kernels_test {

using check::largest_difference;

namespace {

constexpr int64_t kSlots = 19;
const std::vector<int64_t> kChannels = {1, 2, 4, 8, 12, 16, 20, 24, 28, 48};

std::vector<uint32_t> indices(Random& random, int64_t count) {
  std::vector<uint32_t> out;
  for (const uint8_t byte : random.bytes(count, kSlots)) out.push_back(byte);
  return out;
}

// Calls body(kernels, pixels, channels) for every level, odd sizes and every number of channels.
template <class Body>
void for_levels(Body body) {
  for (const ops::CpuLevel& level : ops::cpu_levels())
    for (const int64_t pixels : {1, 2, 5, 33, 70})
      for (const int64_t channels : kChannels) body(level.kernels, pixels, channels);
}

}  // namespace

TEST("at every level, splat and slice equal plain sums over the corners, for 3 and 6 corners and 1 to 48 channels") {
  Random random;
  for_levels([&](const ops::Kernels& k, int64_t pixels, int64_t channels) {
    for (const int64_t corners : {int64_t{3}, int64_t{6}}) {
      std::vector<uint16_t> slot;
      for (const uint32_t index : indices(random, pixels * corners)) slot.push_back(static_cast<uint16_t>(index));
      const std::vector<float> weight = random.uniform(pixels * corners), values = random.normal(pixels * channels),
                               start = random.normal(kSlots * channels);
      std::vector<double> splatted(start.begin(), start.end()), sliced(values.size()), added(values.begin(), values.end());
      for (int64_t i = 0; i < pixels; ++i)
        for (int64_t c = 0; c < corners; ++c)
          for (int64_t v = 0; v < channels; ++v) {
            const auto corner = static_cast<size_t>(i * corners + c), pixel = static_cast<size_t>(i * channels + v);
            const size_t at = slot[corner] * static_cast<size_t>(channels) + static_cast<size_t>(v);
            splatted[at] += static_cast<double>(weight[corner]) * static_cast<double>(values[pixel]);
            sliced[pixel] += static_cast<double>(weight[corner]) * static_cast<double>(start[at]);
            added[pixel] += static_cast<double>(weight[corner]) * static_cast<double>(start[at]);
          }
      const ops::LatticeCorners in{slot.data(), weight.data(), corners};
      std::vector<float> slots = start, fresh(values.size(), NAN), sum = values;
      k.lattice_splat(in, values.data(), pixels, channels, slots.data(), 0);
      k.lattice_slice(in, start.data(), pixels, channels, false, fresh.data());
      k.lattice_slice(in, start.data(), pixels, channels, true, sum.data());
      CHECK_BELOW(largest_difference(slots, splatted), 5e-5);
      CHECK_BELOW(largest_difference(fresh, sliced), 1e-5);
      CHECK_BELOW(largest_difference(sum, added), 1e-5);
    }
  });
}

TEST("at every level, fetch, gather and blur equal plain loops for 1 to 48 channels") {
  Random random(2);
  for_levels([&](const ops::Kernels& k, int64_t count, int64_t channels) {
    const std::vector<float> values = random.normal(kSlots * channels), here = random.normal(count * channels);
    const std::vector<uint32_t> first = indices(random, count), second = indices(random, count);
    const auto value = [&](uint32_t index, int64_t v) { return values[index * static_cast<size_t>(channels) + static_cast<size_t>(v)]; };
    std::vector<ops::LatticeNeighbours> neighbours;
    std::vector<uint32_t> sources;  // one or two of each point
    std::vector<double> fetched, blurred, gathered;
    for (size_t p = 0; p < first.size(); ++p) {
      neighbours.push_back({first[p], second[p]});
      const bool two = p % 3 == 1;
      if (two) sources.push_back(second[p] | ops::kLinked);
      sources.push_back(first[p]);
      for (int64_t v = 0; v < channels; ++v) {
        const double a = value(first[p], v), b = value(second[p], v);
        fetched.push_back(a);
        gathered.push_back(two ? a + b : a);
        blurred.push_back(static_cast<double>(here[p * static_cast<size_t>(channels) + static_cast<size_t>(v)]) + (a + b) / 2);
      }
    }
    std::vector<float> out(here.size(), NAN);
    k.lattice_fetch(values.data(), first.data(), count, channels, out.data());
    CHECK(largest_difference(out, fetched) == 0);
    k.lattice_gather(values.data(), sources.data(), static_cast<int64_t>(sources.size()), channels, out.data());
    CHECK_BELOW(largest_difference(out, gathered), 1e-6);
    k.lattice_blur(here.data(), values.data(), neighbours.data(), count, channels, out.data());
    CHECK_BELOW(largest_difference(out, blurred), 1e-6);
    const std::vector<float> before = random.normal(count * channels), after = random.normal(count * channels);
    std::vector<double> row;
    for (size_t i = 0; i < here.size(); ++i)
      row.push_back(static_cast<double>(here[i]) + (static_cast<double>(before[i]) + static_cast<double>(after[i])) / 2);
    k.lattice_blur_row(here.data(), before.data(), after.data(), count * channels, out.data());
    CHECK_BELOW(largest_difference(out, row), 1e-6);
  });
}

TEST("at every level, weights are divided by the square root of the lattice's result for pixels of 1") {
  Random random(3);
  for (const ops::CpuLevel& level : ops::cpu_levels())
    for (const int64_t corners : {3, 6})
      for (const int64_t count : {1, 3, 63, 64, 65, 131}) {
        const std::vector<float> sums = random.uniform(count, 0.5f, 3), start = random.uniform(count * corners);
        const double alpha = 1 / (1 + std::exp2(-static_cast<double>(corners - 1)));
        std::vector<double> want(start.begin(), start.end());
        for (size_t i = 0; i < want.size(); ++i)
          want[i] *= std::sqrt(3 * alpha / (alpha * static_cast<double>(sums[i / static_cast<size_t>(corners)])));
        std::vector<float> weight = start;
        level.kernels.normalise_weights(sums.data(), count, corners, 3, weight.data());
        CHECK_BELOW(largest_difference(weight, want), 1e-6);
      }
}

TEST("lattice keys, triangles and barycentric weights are the same bit for bit at every level") {
  Random random(4);
  const ops::Kernels& baseline = ops::cpu_levels().back().kernels;
  const int64_t count = 4096, stride = 4100;
  std::vector<float> scaled = random.uniform(5 * stride, -40, 900);
  for (size_t i = 0; i < scaled.size(); i += 3) scaled[i] = std::round(scaled[i]) * 0.5f;  // pixels on the borders of simplices
  const int shift[] = {3, 14, 25, 36, 47}, shift_2[] = {3, 30};
  const uint64_t one[] = {1u << 3, 1u << 14, 1u << 25, uint64_t{1} << 36, uint64_t{1} << 47}, one_2[] = {1u << 3, 1u << 30};
  const ops::KeyParts five{0x123456789abcull, shift, one}, two{0x12345678ull, shift_2, one_2};
  struct Result {
    std::vector<uint64_t> keys = std::vector<uint64_t>(6 * stride, 1);
    std::vector<float> weights = std::vector<float>(6 * stride, 1), triangle_weights = weights;
    std::vector<int32_t> quotient = std::vector<int32_t>(3 * stride, 1), last = quotient;
    bool operator==(const Result&) const = default;
  };
  const auto run = [&](const ops::Kernels& k, bool wide) {
    Result r;
    if (wide) k.lattice_keys_5(five, scaled.data(), stride, count, r.keys.data(), r.weights.data());
    else k.lattice_keys_2(two, scaled.data(), stride, count, r.keys.data(), r.weights.data());
    k.find_triangles(scaled.data(), 17.25f, count, r.quotient.data(), r.last.data(), r.triangle_weights.data());
    return r;
  };
  for (const bool wide : {false, true}) {
    const Result want = run(baseline, wide);
    const size_t corners = wide ? 6 : 3;
    for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
      const auto first = want.weights.begin() + static_cast<int64_t>(i * corners);
      CHECK_BELOW(std::abs(std::accumulate(first, first + static_cast<int64_t>(corners), 0.0) - 1), 1e-4);
    }
    for (const ops::CpuLevel& level : ops::cpu_levels()) CHECK(run(level.kernels, wide) == want);
  }
}

// FNV-1a.
template <class T>
uint64_t hash_of(const std::vector<T>& values, uint64_t hash) {
  for (const T& value : values)
    for (const std::byte byte : std::bit_cast<std::array<std::byte, sizeof(T)>>(value))
      hash = (hash ^ static_cast<uint64_t>(byte)) * 0x100000001b3ull;
  return hash;
}

TEST("lattice keys and barycentric weights are the same bit for bit on every CPU") {
  const int64_t count = 4096;
  std::vector<float> scaled;
  for (uint32_t i = 0; i < 5 * count; ++i) scaled.push_back(static_cast<float>(i * 2654435761u >> 12) / 1024 - 40);  // exact
  const int shift[] = {3, 14, 25, 36, 47};
  const uint64_t one[] = {1u << 3, 1u << 14, 1u << 25, uint64_t{1} << 36, uint64_t{1} << 47};
  std::vector<uint64_t> keys(6 * count);
  std::vector<float> weights(6 * count);
  for (const ops::CpuLevel& level : ops::cpu_levels()) {
    level.kernels.lattice_keys_5({0x123456789abcull, shift, one}, scaled.data(), count, count, keys.data(), weights.data());
    CHECK(hash_of(weights, hash_of(keys, 0xcbf29ce484222325ull)) == 0xab26a94a4adc93e6ull);
  }
}

TEST("at every level, the logarithm of scores is clipped, and a bad score is found at every place") {
  for (const ops::CpuLevel& level : ops::cpu_levels())
    for (const size_t count : {1, 3, 16, 33, 70}) {
      std::vector<float> scores(count), logs(count);
      for (size_t i = 0; i < count; ++i) scores[i] = static_cast<float>(i) / 40;  // from 0 to above 1
      const auto run = [&] { return level.kernels.log_scores(scores.data(), static_cast<int64_t>(count), 1e-5f, logs.data()); };
      CHECK(run());
      for (size_t i = 0; i < count; ++i)
        CHECK_BELOW(std::abs(logs[i] - std::log(std::clamp(static_cast<double>(scores[i]), 1e-5, 1.0))), 2e-6);
      for (size_t i = 0; i < count; ++i)
        for (const float bad : {-1e-3f, NAN, INFINITY, -INFINITY}) {
          const float good = std::exchange(scores[i], bad);
          CHECK(!run());
          scores[i] = good;
        }
    }
}

TEST("at every level, a mean-field update is a softmax, also where one label is certain") {
  Random random(5);
  for (const ops::CpuLevel& level : ops::cpu_levels())
    for (const int64_t labels : {2, 3, 4, 5, 6, 7, 8, 9, 12, 26, 255})
      for (const int64_t count : {1, 3, 7, 8, 9, 33, 41}) {
        if (labels == 255 && count > 9) continue;
        const int64_t others = labels - 1, channels = ops::padded_channels(others);
        std::vector<float> unary = random.normal(others * count, 2), message(static_cast<size_t>(count * channels), 0.0f);
        const std::vector<float> noise = random.normal(count * others);
        std::vector<double> want(message.size(), 0.0);
        for (int64_t i = 0; i < count; ++i) {
          std::vector<double> x;
          double sum = 0, total = 0;
          for (int64_t l = 0; l < others; ++l) {
            float& own = unary[l * count + i];
            if (i % 4 == 1) own -= 100 + 12 * static_cast<float>(i / 4 % 6);  // the last label is certain
            if (i % 4 == 2) own += l == others / 2 ? 400.0f : 0.0f;           // another one is
            const float m = message[i * channels + l] = noise[i * others + l] / static_cast<float>(labels);
            sum += static_cast<double>(m);
            x.push_back(static_cast<double>(own) + static_cast<double>(m));
          }
          x.push_back(-sum);
          const double largest = *std::max_element(x.begin(), x.end());
          for (double& value : x) total += value = std::exp(value - largest);
          for (int64_t l = 0; l < others; ++l) want[i * channels + l] = x[l] / total - 1 / static_cast<double>(labels);
        }
        level.kernels.mean_field_update(unary.data(), labels, count, message.data());
        CHECK_BELOW(largest_difference(message, want), 2e-5);
      }
}

TEST("at every level, marginals are never negative, and the last one is the rest") {
  Random random(6);
  for (const ops::CpuLevel& level : ops::cpu_levels())
    for (const int64_t labels : {1, 2, 3, 4, 5, 6, 9, 26})
      for (int64_t count = 1; count <= 9; ++count) {
        const int64_t others = labels - 1, channels = ops::padded_channels(others), step = count + 2;
        const float share = 1.0f / static_cast<float>(labels);
        std::vector<float> excess(static_cast<size_t>(count * channels), 0.0f);
        std::vector<double> want(static_cast<size_t>(labels * step), -1.0);
        for (int64_t i = 0; i < count; ++i) {
          double rest = 1;
          for (int64_t l = 0; l < others; ++l) {
            // Every second pixel has marginals that sum to more than 1, and a negative one.
            const float value = l == 0 ? 1 - share + (i % 2 ? 0.01f : -0.5f) : l == 1 ? -share - 0.001f : 0.0f;
            excess[i * channels + l] = value;
            const double marginal = std::max(0.0, static_cast<double>(value) + 1 / static_cast<double>(labels));
            want[l * step + i] = marginal;
            rest -= marginal;
          }
          want[others * step + i] = std::max(rest, 0.0);
        }
        std::vector<float> marginals(want.size(), -1.0f);
        level.kernels.marginals_of(excess.data(), labels, count, marginals.data(), step);
        CHECK_BELOW(largest_difference(marginals, want), 1e-6);
        for (int64_t l = 0; l < labels; ++l)
          for (int64_t i = 0; i < count; ++i) CHECK(marginals[l * step + i] >= 0);
      }
}

TEST("at every level, the last of 255 marginals has no more than the error of one rounding") {
  Random random(7);
  for (const ops::CpuLevel& level : ops::cpu_levels()) {
    const int64_t labels = 255, count = 9, others = labels - 1, channels = ops::padded_channels(others);
    std::vector<float> excess = random.uniform(count * channels, -0.003f, 0.003f), marginals(labels * count);
    level.kernels.marginals_of(excess.data(), labels, count, marginals.data(), count);
    for (int64_t i = 0; i < count; ++i) {
      double rest = 1;
      for (int64_t l = 0; l < others; ++l) rest -= static_cast<double>(marginals[l * count + i]);
      CHECK_BELOW(std::abs(marginals[others * count + i] - std::max(rest, 0.0)), 6e-8);
    }
  }
}

}  // namespace clip_es::lattice_kernels_test
