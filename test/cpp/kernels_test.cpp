// Every kernel at every level that this CPU has, against plain loops at odd sizes. Elements after the end must not change.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <memory>
#include <numeric>

#include "check.h"
#include "core/error.h"
#include "core/float16.h"
#include "ops/cpu/cpu_level.h"
#include "ops/lattice_key.h"
#include "ops/mean_field.h"
#include "ops/reference/reference.h"
#include "support.h"

using namespace clip_es;
using ops::Kernels;

namespace {

const std::vector<int64_t> kCounts = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 127, 130};
constexpr float kSentinel = -12345.0f;
constexpr size_t kGuard = 40;  // elements after the end of an array, more than any vector has

template <class T>
std::vector<T> guarded(std::vector<T> values, T sentinel = static_cast<T>(kSentinel)) {
  values.insert(values.end(), kGuard, sentinel);
  return values;
}
std::vector<float> empty(int64_t count) { return guarded(std::vector<float>(static_cast<size_t>(count), NAN)); }

// Compares got with want, relative to the size of want where that is above 1, and checks the elements after the end.
void check_equal(const std::vector<float>& got, const std::vector<double>& want, double limit, const char* what) {
  CHECK(got.size() == want.size() + kGuard);
  for (size_t i = 0; i < want.size(); ++i) {
    const double difference = std::abs(static_cast<double>(got[i]) - want[i]) / std::max(1.0, std::abs(want[i]));
    if (!(difference < limit))
      check::fail(__FILE__, __LINE__,
                  std::string(what) + ": element " + std::to_string(i) + " of " + std::to_string(want.size()) + " is " +
                      std::to_string(got[i]) + " instead of " + std::to_string(want[i]));
  }
  for (size_t i = want.size(); i < got.size(); ++i)
    if (got[i] != kSentinel) check::fail(__FILE__, __LINE__, std::string(what) + " writes beyond the end");
}

// Calls body(kernels, count) for every level and every odd size.
template <class Body>
void for_levels(Body body) {
  for (const ops::CpuLevel& level : ops::cpu_levels()) {
    check::note(level.name);
    for (const int64_t count : kCounts) body(level.kernels, count);
  }
}

std::vector<double> transformed(const std::vector<float>& x, const auto& function) {
  std::vector<double> y;
  for (const float value : x) y.push_back(function(static_cast<double>(value)));
  return y;
}

}  // namespace

TEST("the CPU levels end with baseline, the first is the default, and an unknown or missing one is refused with the list of levels") {
  const auto levels = ops::cpu_levels();
  CHECK(std::string(levels.back().name) == "baseline");
  CHECK(&ops::find_cpu_level("") == &levels.front());
  for (const ops::CpuLevel& level : levels) CHECK(&ops::find_cpu_level(level.name) == &level);
  const char* asked = std::getenv("CLIP_ES_CPU");
  CHECK(&ops::cpu_level() == &ops::find_cpu_level(asked ? asked : ""));
  CHECK_ERROR(ops::find_cpu_level("sse9"), ErrorCode::kInvalidArg, "CLIP_ES_CPU is 'sse9'");
  CHECK_ERROR(ops::find_cpu_level("BASELINE"), ErrorCode::kInvalidArg, "baseline. Unset the variable");
}

TEST("at every level, activations and their slopes equal their formulas, in place, too") {
  Random random;
  for_levels([&](const Kernels& k, int64_t count) {
    const std::vector<float> u = random.normal(count, 3);
    for (const Activation kind : {Activation::kQuickGelu, Activation::kGelu}) {
      const bool quick = kind == Activation::kQuickGelu;
      const std::vector<double> want = transformed(u, [&](double v) { return reference::activation(kind, v); });
      std::vector<float> got = guarded(u), slope = guarded(u);
      (quick ? k.quick_gelu : k.gelu)(got.data(), count);
      check_equal(got, want, 1e-6, "activation");
      (quick ? k.quick_gelu_slope : k.gelu_slope)(slope.data(), count, slope.data());
      check_equal(slope, transformed(u, [&](double v) { return reference::activation_slope(kind, v); }), 2e-6, "slope");
      if (!quick) continue;
      std::vector<float> coarse = guarded(u);
      k.coarse_quick_gelu(coarse.data(), count);
      check_equal(coarse, want, 2e-5, "coarse activation");
    }
  });
}

TEST("at every level, sums, products and largest elements of rows equal plain loops") {
  Random random(2);
  for_levels([&](const Kernels& k, int64_t count) {
    const std::vector<float> a = random.normal(count), b = random.normal(count);
    std::vector<double> sum, scaled_sum, scaled;
    double dot = 0, magnitude = 0;
    for (size_t i = 0; i < a.size(); ++i) {
      const double x = a[i], y = b[i];
      sum.push_back(x + y);
      scaled_sum.push_back(x + 0.3 * y);
      scaled.push_back(0.3 * x);
      dot += x * y;
      magnitude = std::max(magnitude, std::abs(x));
    }
    std::vector<float> got = guarded(a);
    k.add(got.data(), b.data(), count);
    check_equal(got, sum, 1e-6, "add");
    got = guarded(a);
    k.add_scaled(got.data(), b.data(), count, 0.3f);
    check_equal(got, scaled_sum, 1e-6, "add_scaled");
    got = guarded(a);
    k.scale(got.data(), got.data(), count, 0.3f);
    check_equal(got, scaled, 1e-6, "scale");
    CHECK_BELOW(std::abs(k.dot(a.data(), b.data(), count) - dot), 2e-5);
    CHECK(k.largest(a.data(), count) == *std::max_element(a.begin(), a.end()));
    CHECK(k.largest_magnitude(a.data(), count) == static_cast<float>(magnitude));
    const std::vector<float> negative = random.uniform(count, -9, -1);
    CHECK(k.largest(negative.data(), count) == *std::max_element(negative.begin(), negative.end()));
  });
}

TEST("at every level, exponentials equal their formula and return their sum") {
  Random random(3);
  for_levels([&](const Kernels& k, int64_t count) {
    const std::vector<float> x = random.normal(count, 4), shift = random.normal(count);
    const std::vector<double> want = transformed(x, [](double v) { return std::exp(0.5 * v - 2); });
    const double sum = std::accumulate(want.begin(), want.end(), 0.0);
    std::vector<float> got = guarded(x), coarse = guarded(x), shifted = guarded(x);
    CHECK_BELOW(std::abs(k.exponentials(got.data(), count, 0.5f, 2) / sum - 1), 2e-6);
    check_equal(got, want, 2e-6, "exponentials");
    CHECK_BELOW(std::abs(k.coarse_exponentials(coarse.data(), count, 0.5f, 2) / sum - 1), 1e-5);
    check_equal(coarse, want, 1e-5, "coarse_exponentials");
    k.shifted_exponentials(shifted.data(), count, 0.5f, shift.data());
    std::vector<double> want_shifted;
    for (size_t i = 0; i < x.size(); ++i) want_shifted.push_back(std::exp(0.5 * static_cast<double>(x[i]) - static_cast<double>(shift[i])));
    check_equal(shifted, want_shifted, 2e-6, "shifted_exponentials");
  });
}

TEST("at every level, layer_norm_row and normalise_row equal their twins") {
  Random random(4);
  for_levels([&](const Kernels& k, int64_t width) {
    const std::vector<float> x = random.normal(width, 2, 1), gamma = random.normal(width, 1, 1), beta = random.normal(width);
    const reference::NormalisedRows want = reference::normalise_rows(reference::Matrix(1, width, x));
    std::vector<float> x_hat = empty(width), y = guarded(x);
    CHECK_BELOW(std::abs(k.normalise_row(x.data(), width, 1e-5f, x_hat.data()) / want.rstd[0] - 1), 1e-5);
    check_equal(x_hat, want.x_hat.values, 1e-5, "normalise_row");
    std::vector<double> want_y;
    for (size_t i = 0; i < x.size(); ++i)
      want_y.push_back(want.x_hat.values[i] * static_cast<double>(gamma[i]) + static_cast<double>(beta[i]));
    k.layer_norm_row(y.data(), width, 1e-5f, gamma.data(), beta.data(), y.data());
    check_equal(y, want_y, 2e-5, "layer_norm_row");
  });
}

TEST("at every level, the rows of attention's backward pass equal plain loops") {
  Random random(5);
  for_levels([&](const Kernels& k, int64_t size) {
    const auto gradient = random.normal(size), out = random.normal(size), value = random.normal(size), query = random.normal(size);
    const std::vector<float> sums = random.normal(size);
    double delta = 0, along = 0;
    for (size_t i = 0; i < out.size(); ++i) {
      delta += static_cast<double>(gradient[i]) * static_cast<double>(out[i]);
      along += static_cast<double>(gradient[i]) * static_cast<double>(value[i]);
    }
    std::vector<double> row(gradient.begin(), gradient.end()), keys, values, queries;
    row.push_back(delta);
    for (size_t i = 0; i < out.size(); ++i) {
      keys.push_back(sums[i] - 0.125 * 0.25 * (along - delta) * static_cast<double>(query[i]));
      values.push_back(sums[i] + 0.75 * static_cast<double>(gradient[i]));
      queries.push_back(sums[i] + 0.125 * (along - delta) * static_cast<double>(query[i]));
    }
    std::vector<float> got = empty(size + 1), key_sums = guarded(sums), value_sums = guarded(sums), query_sums = guarded(sums);
    k.gather_row(gradient.data(), out.data(), value.data(), query.data(), size, 0.25f, 0.125f, got.data(), key_sums.data(),
                 value_sums.data());
    check_equal(got, row, 2e-5, "gather_row");
    check_equal(key_sums, keys, 1e-5, "gather_row's sums of keys");
    check_equal(value_sums, values, 1e-5, "gather_row's sums of values");
    k.add_key(got.data(), value.data(), query.data(), size, 0.125f, query_sums.data());
    check_equal(query_sums, queries, 1e-5, "add_key");
  });
}

TEST("at every level, the rows of the MLP's backward pass equal plain loops") {
  Random random(6);
  for_levels([&](const Kernels& k, int64_t n) {
    const auto u = random.normal(n), omega = random.normal(n), alpha = random.normal(n), gamma = random.normal(n),
               offset = random.normal(n), slope = random.normal(n), a_out = random.normal(n), z = random.normal(n), h = random.normal(n),
               column_sums = random.normal(n), product = random.normal(n);
    const ops::MlpGradientRow in{
        n,        n,        u.data(),           omega.data(), alpha.data(), gamma.data(), offset.data(), a_out.data(),
        z.data(), h.data(), column_sums.data(), 0.5f,         1.5f,         0.75f};
    std::vector<double> e, gradient;
    double gamma_sum = 0, u_sum = 0;
    for (size_t i = 0; i < u.size(); ++i) {
      e.push_back(static_cast<double>(slope[i]) * (static_cast<double>(alpha[i]) - 0.5 * static_cast<double>(omega[i])));
      gamma_sum += e[i] * static_cast<double>(gamma[i]);
      u_sum += e[i] * (static_cast<double>(u[i]) - static_cast<double>(offset[i])) / static_cast<double>(n);
    }
    std::vector<float> got = empty(n), row = empty(n);
    const ops::MlpGradientSums sums = k.mlp_gradient_e(in, slope.data(), got.data());
    check_equal(got, e, 1e-6, "mlp_gradient_e");
    CHECK_BELOW(std::abs(sums.gamma - gamma_sum), 5e-5);
    CHECK_BELOW(std::abs(sums.u - u_sum), 1e-5);
    for (size_t i = 0; i < u.size(); ++i)
      gradient.push_back(0.75 * (static_cast<double>(a_out[i]) - 0.5 * static_cast<double>(z[i])) +
                         1.5 * (static_cast<double>(product[i]) - static_cast<double>(sums.gamma) * static_cast<double>(column_sums[i]) -
                                static_cast<double>(sums.u) * static_cast<double>(h[i])));
    k.mlp_gradient_row(in, sums, product.data(), row.data());
    check_equal(row, gradient, 1e-5, "mlp_gradient_row");
  });
}

TEST("at every level, conversions to and from 16 bits give the same numbers bit for bit") {
  Random random(7);
  for_levels([&](const Kernels& k, int64_t count) {
    std::vector<float> x = random.normal(count, 100);
    x[0] = 1.00390625f;  // half way between two bfloat16: to even
    std::vector<uint16_t> half = guarded(std::vector<uint16_t>(x.size()), uint16_t{0x1234}), all(x.size());
    k.to_bfloat16(x.data(), count, half.data());
    for (size_t i = 0; i < x.size(); ++i) CHECK(half[i] == float_to_bfloat16(x[i]));
    CHECK(half[0] == 0x3f80);
    for (size_t i = x.size(); i < half.size(); ++i) CHECK(half[i] == 0x1234);
    for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<uint16_t>((i * 2503 + 5) & 0xfbff);  // finite float16, subnormals, too
    std::vector<float> from_bfloat16 = empty(count), from_float16 = empty(count);
    k.from_bfloat16(half.data(), count, from_bfloat16.data());
    k.from_float16(all.data(), count, from_float16.data());
    std::vector<double> want_bfloat16, want_float16;
    for (size_t i = 0; i < x.size(); ++i) {
      want_bfloat16.push_back(std::bit_cast<float>(static_cast<uint32_t>(half[i]) << 16));
      const int exponent = all[i] >> 10 & 31, mantissa = all[i] & 1023;
      const double size = exponent ? std::ldexp(1024 + mantissa, exponent - 25) : std::ldexp(mantissa, -24);
      want_float16.push_back(all[i] & 0x8000 ? -size : size);
    }
    check_equal(from_bfloat16, want_bfloat16, 1e-30, "from_bfloat16");
    check_equal(from_float16, want_float16, 1e-30, "from_float16");
  });
}

TEST("at every level, rows are rounded to integers and interleaved without a change of a bit") {
  Random random(8);
  for_levels([&](const Kernels& k, int64_t count) {
    const std::vector<float> x = random.normal(count);
    std::vector<int8_t> integers = guarded(std::vector<int8_t>(x.size()), int8_t{99});
    const int32_t sum = k.quantise(x.data(), count, 30, integers.data());
    int32_t want = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      const auto q = static_cast<int8_t>(std::nearbyint(x[i] * 30));
      CHECK(integers[i] == q);
      want += q;
    }
    CHECK(sum == want && integers[x.size()] == 99);

    const int64_t step = 6;
    std::vector<std::vector<float>> rows;
    for (int r = 0; r < 4; ++r) rows.push_back(random.normal(count));
    const auto bytes = [&](int r) { return reinterpret_cast<const std::byte*>(rows[static_cast<size_t>(r)].data()); };
    const std::byte* const words[] = {bytes(0), bytes(1), bytes(2), bytes(3)};
    const float* const floats[] = {rows[0].data(), rows[1].data(), rows[2].data(), rows[3].data()};
    const auto word = [&](int64_t i, size_t r, bool pairs) {
      if (!pairs) return std::bit_cast<uint32_t>(rows[r][static_cast<size_t>(i)]);
      const auto half = [&](int64_t at) { return at < count ? float_to_bfloat16(rows[r][static_cast<size_t>(at)]) : uint32_t{0}; };
      return static_cast<uint32_t>(half(2 * i + 1) << 16 | half(2 * i));
    };
    for (const bool pairs : {false, true}) {
      if (pairs && !k.interleave_bfloat16) continue;
      const int64_t length = pairs ? (count + 1) / 2 : count;
      std::vector<uint32_t> got(static_cast<size_t>(length * step) + kGuard, 7);
      if (pairs) k.interleave_bfloat16(floats, count, step, got.data());
      else k.interleave(words, count, step, got.data());
      for (size_t i = 0; i < got.size(); ++i) {
        const size_t column = i % static_cast<size_t>(step), row = i / static_cast<size_t>(step);
        const bool inside = row < static_cast<size_t>(length) && column < 4;
        CHECK(got[i] == (inside ? word(static_cast<int64_t>(row), column, pairs) : 7));
      }
    }
    std::vector<uint16_t> low(x.size()), high(x.size());
    for (size_t i = 0; i < low.size(); ++i) low[i] = static_cast<uint16_t>(i * 77 + 60000), high[i] = static_cast<uint16_t>(i * 31 + 50000);
    std::vector<uint32_t> pair = guarded(std::vector<uint32_t>(x.size()), 7u);
    k.interleave_pair(low.data(), high.data(), count, pair.data());
    for (size_t i = 0; i < low.size(); ++i) CHECK(pair[i] == (static_cast<uint32_t>(high[i]) << 16 | low[i]));
    CHECK(pair[x.size()] == 7);
  });
}

TEST("at every level, a tile is the product of its words in every precision, for each third of its rows") {
  Random random(9);
  for (const ops::CpuLevel& level : ops::cpu_levels())
    for (const Precision precision : {Precision::kFloat32, Precision::kBFloat16, Precision::kInt8})
      for (const int64_t words : {1, 2, 7, 64}) {
        const ops::ProductTile& t = level.kernels.tiles[static_cast<size_t>(precision)];
        struct alignas(64) Words {
          uint32_t panel[64 * ops::kMaxTileColumns], x[64 * ops::kMaxTileRows];
          float sums[ops::kMaxTileRows * ops::kMaxTileColumns];
        };
        const auto data = std::make_unique<Words>();
        const auto fill = [&](uint32_t* to, int64_t count) {
          const std::vector<float> numbers = random.normal(2 * count);
          const std::vector<uint8_t> bytes = random.bytes(4 * count);
          for (size_t i = 0; i < static_cast<size_t>(count); ++i)
            if (precision == Precision::kFloat32) to[i] = std::bit_cast<uint32_t>(numbers[i]);
            else if (precision == Precision::kBFloat16)
              to[i] = static_cast<uint32_t>(float_to_bfloat16(numbers[2 * i + 1])) << 16 | float_to_bfloat16(numbers[2 * i]);
            else std::memcpy(to + i, &bytes[4 * i], 4);
        };
        fill(data->x, words * t.rows);
        fill(data->panel, words * t.columns);
        const auto product = [&](uint32_t x, uint32_t w) {
          double sum = 0;
          if (precision == Precision::kFloat32)
            return static_cast<double>(std::bit_cast<float>(x)) * static_cast<double>(std::bit_cast<float>(w));
          for (int shift = 0; shift < 32; shift += precision == Precision::kInt8 ? 8 : 16)
            if (precision == Precision::kInt8) sum += static_cast<int8_t>(x >> shift) * static_cast<int>(w >> shift & 0xff);
            else
              sum += static_cast<double>(bfloat16_to_float(static_cast<uint16_t>(x >> shift))) *
                     static_cast<double>(bfloat16_to_float(static_cast<uint16_t>(w >> shift)));
          return sum;
        };
        for (int64_t rows = 1; rows <= t.rows; ++rows) {
          std::fill(std::begin(data->sums), std::end(data->sums), NAN);
          t.multiply(data->x, data->panel, words, rows, data->sums, t.columns);
          for (int64_t r = 0; r < rows; ++r)
            for (int64_t c = 0; c < t.columns; ++c) {
              double want = 0;
              for (int64_t i = 0; i < words; ++i) want += product(data->x[i * t.rows + r], data->panel[i * t.columns + c]);
              CHECK_BELOW(std::abs(data->sums[r * t.columns + c] - want), precision == Precision::kInt8 ? 1e-9 : 5e-5);
            }
        }
      }
}

TEST("at every level, tiles of sums are rescaled, biased and stored as plain loops do") {
  Random random(10);
  for_levels([&](const Kernels& k, int64_t columns) {
    const int64_t rows = 3, stride = columns + 3, row_stride = columns + 5;
    const std::vector<float> sums = random.normal(rows * stride, 100), bias = random.normal(columns), scales = random.uniform(columns),
                             y = random.normal(rows * row_stride);
    const ops::RowScale x[] = {{0.5f, 3}, {2, -7}, {0, 0}};
    const auto at = [](const std::vector<float>& v, int64_t r, int64_t step, int64_t c) {
      return static_cast<double>(v[static_cast<size_t>(r * step + c)]);
    };
    std::vector<double> rescaled(sums.begin(), sums.end()), biased = rescaled;
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < columns; ++c) {
        const double sum = at(sums, r, stride, c);
        rescaled[static_cast<size_t>(r * stride + c)] =
            (sum - 128 * static_cast<double>(x[r].sum)) * static_cast<double>(x[r].scale) * at(scales, 0, 0, c);
        biased[static_cast<size_t>(r * stride + c)] = sum + at(bias, 0, 0, c);
      }
    std::vector<float> got = guarded(sums);
    k.rescale(got.data(), rows, columns, stride, x, scales.data());
    check_equal(got, rescaled, 1e-6, "rescale");
    got = guarded(sums);
    k.add_bias(got.data(), rows, columns, stride, bias.data());
    check_equal(got, biased, 1e-6, "add_bias");
    for (const bool with_bias : {false, true})
      for (const bool add : {false, true}) {
        std::vector<double> want(y.begin(), y.end());
        for (int64_t r = 0; r < rows; ++r)
          for (int64_t c = 0; c < columns; ++c) {
            double& value = want[static_cast<size_t>(r * row_stride + c)];
            value = (add ? value : 0) + at(sums, r, stride, c) + (with_bias ? at(bias, 0, 0, c) : 0);
          }
        std::vector<float> stored = guarded(y);
        k.store_tile(sums.data(), rows, columns, stride, with_bias ? bias.data() : nullptr, add, stored.data(), row_stride);
        check_equal(stored, want, 1e-6, "store_tile");
      }
  });
}

TEST("at every level, a bilinear row equals its formula") {
  Random random(11);
  for_levels([&](const Kernels& k, int64_t count) {
    const int64_t width = 9;
    const std::vector<float> map = random.normal(3 * width);
    const ops::Tap vertical{1, 2, 0.3f};
    std::vector<ops::Tap> taps;
    std::vector<double> want;
    for (int64_t i = 0; i < count; ++i) {
      const ops::Tap t = ops::bilinear_tap(width, count, i);
      taps.push_back(t);
      const auto column = [&](int32_t x) {
        const double top = map[static_cast<size_t>(width + x)], bottom = map[static_cast<size_t>(2 * width + x)];
        return top + (bottom - top) * static_cast<double>(vertical.fraction);
      };
      want.push_back(column(t.low) + (column(t.high) - column(t.low)) * static_cast<double>(t.fraction));
    }
    std::vector<float> got = empty(count);
    k.resize_bilinear_row(map.data(), width, vertical, taps.data(), count, got.data());
    check_equal(got, want, 1e-6, "resize_bilinear_row");
  });
}
