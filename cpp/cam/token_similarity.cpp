#include "cam/token_similarity.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "ops/matmul.h"
#include "ops/ops.h"

namespace clip_es {
namespace {

constexpr int64_t kLocalNeighbours = 30;  // of the local outlier factor
constexpr int64_t kSmallestRows = 16;     // the fewest rows that a thread takes

double squares(std::span<const float> row) {
  return std::accumulate(row.begin(), row.end(), 0.0, [](double sum, float value) { return sum + static_cast<double>(value) * value; });
}

// The patches less their mean, so that squared distances do not cancel: tokens share a few very large channels.
std::span<float> centre(HostContext& context, std::span<const float> patches, int64_t count) {
  const int64_t width = std::ssize(patches) / count;
  const auto centred = context.arena.take<float>(patches.size());
  for (int64_t c = 0; c < width; ++c) {
    double mean = 0;
    for (int64_t i = 0; i < count; ++i) mean += static_cast<double>(patches[i * width + c]) / static_cast<double>(count);
    for (int64_t i = 0; i < count; ++i) centred[i * width + c] = patches[i * width + c] - static_cast<float>(mean);
  }
  return centred;
}

// The value at `share` of the sorted values, interpolated linearly.
double quantile(std::span<const double> values, double share, std::span<double> sorted) {
  std::ranges::copy(values, sorted.begin());
  std::ranges::sort(sorted);
  const double at = share * static_cast<double>(values.size() - 1);
  const auto low = static_cast<size_t>(at);
  const size_t high = std::min(low + 1, values.size() - 1);
  return sorted[low] + (at - static_cast<double>(low)) * (sorted[high] - sorted[low]);
}

}  // namespace

void find_outliers(HostContext& context, std::span<const float> patches, float share, std::span<uint8_t> outlier) {
  const auto count = std::ssize(outlier);
  const int64_t k = std::min<int64_t>(kLocalNeighbours, count - 1);
  std::ranges::fill(outlier, uint8_t{0});
  if (k < 1) return;
  const int64_t width = std::ssize(patches) / count;
  Arena::Scope scope(context.arena);
  const auto centred = centre(context, patches, count);
  const auto products = context.arena.take<float>(count * count);
  ops::matmul(context, matrix(centred.data(), count, width), transposed(matrix(centred.data(), count, width)), products.data());
  const auto norm = context.arena.take<double>(count), reach = context.arena.take<double>(count),
             factor = context.arena.take<double>(count);
  const auto nearest = context.arena.take<int32_t>(count * count);
  for (int64_t i = 0; i < count; ++i) norm[i] = squares(centred.subspan(i * width, width));
  const auto neighbours = [&](int64_t i) { return nearest.subspan(i * count, count - 1); };
  context.pool.split(count, kSmallestRows, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const auto distance = [&](int32_t j) {  // finite, so that it can be sorted
        const double squared = norm[i] + norm[j] - 2 * static_cast<double>(products[i * count + j]);
        return std::isfinite(squared) ? squared : std::numeric_limits<double>::max();
      };
      const auto others = neighbours(i);
      for (int64_t j = 0; j + 1 < count; ++j) others[j] = static_cast<int32_t>(j < i ? j : j + 1);
      std::ranges::nth_element(others, others.begin() + (k - 1), {}, distance);
      reach[i] = std::max(distance(others[k - 1]), static_cast<double>(std::numeric_limits<float>::min()));
    }
  });
  for (int64_t i = 0; i < count; ++i) {
    factor[i] = 0;
    for (const int32_t j : neighbours(i).first(k)) factor[i] += reach[i] / reach[j] / static_cast<double>(k);
  }
  const double limit = quantile(factor, 1 - static_cast<double>(share), norm);
  for (int64_t i = 0; i < count; ++i) outlier[i] = factor[i] > limit;
}

void repair_patches(HostContext& context, std::span<const uint8_t> outlier, const Grid& grid, std::span<float> patches) {
  const int64_t width = std::ssize(patches) / grid.patches();
  Arena::Scope scope(context.arena);
  const auto sum = context.arena.take<float>(width);
  for (int64_t i = 0; i < grid.patches(); ++i) {
    if (!outlier[i]) continue;
    const int64_t y = i / grid.width, x = i % grid.width;
    int64_t good = 0;
    std::ranges::fill(sum, 0.0f);
    for (int64_t ny = std::max<int64_t>(y - 1, 0); ny <= std::min(y + 1, grid.height - 1); ++ny)
      for (int64_t nx = std::max<int64_t>(x - 1, 0); nx <= std::min(x + 1, grid.width - 1); ++nx) {
        const int64_t j = ny * grid.width + nx;
        if (outlier[j]) continue;
        ++good;
        ops::add_scaled(sum.data(), patches.data() + j * width, width, 1);
      }
    if (good > 0) ops::scale(patches.data() + i * width, sum.data(), width, 1 / static_cast<float>(good));
  }
}

void patch_similarity(HostContext& context, std::span<const float> patches, int64_t count, std::span<float> similarity) {
  const int64_t width = std::ssize(patches) / count;
  Arena::Scope scope(context.arena);
  const auto unit = context.arena.take<float>(patches.size());
  for (int64_t i = 0; i < count; ++i) {
    const double norm = std::sqrt(squares(patches.subspan(i * width, width)));
    ops::scale(unit.data() + i * width, patches.data() + i * width, width, norm > 0 ? static_cast<float>(1 / norm) : 0);
  }
  ops::matmul(context, matrix(unit.data(), count, width), transposed(matrix(unit.data(), count, width)), similarity.data());
}

void to_averaging_weights(HostContext& context, int64_t count, std::span<float> similarity) {
  context.pool.split(count, kSmallestRows, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const auto row = similarity.subspan(i * count, count);
      double sum = 1e-6;
      for (float& value : row) {
        if (value < kLeastSimilarity) value = 0;
        sum += value;
      }
      ops::scale(row.data(), row.data(), count, static_cast<float>(1 / sum));
    }
  });
}

void to_attention(HostContext& context, int64_t count, std::span<float> similarity) {
  const double mean = std::accumulate(similarity.begin(), similarity.end(), 0.0) / static_cast<double>(similarity.size());
  context.pool.split(count, kSmallestRows, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const auto row = similarity.subspan(i * count, count);
      double sum = 0;
      for (float& value : row) sum += value = value < mean ? 0 : std::exp(kSharpness * (value - 1));
      ops::scale(row.data(), row.data(), count, static_cast<float>(1 / sum));
    }
  });
}

}  // namespace clip_es
