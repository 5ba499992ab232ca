// Every kernel at every level that this CPU has, against plain loops at odd sizes. Elements after the end must not change.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <numeric>

#include "core/error.h"
#include "core/float16.h"
#include "kernel_levels.h"
#include "ops/half.h"
#include "ops/reference/reference.h"
#include "support.h"

namespace clip_es::kernels_test {

using ops::Kernels;

namespace {

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

TEST("all finite float16 numbers are found to be exact, and the numbers between them and beyond them are not") {
  uint16_t got = 0;
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    if ((bits & 0x7c00) == 0x7c00) continue;
    const float value = finite_float16_to_float(static_cast<uint16_t>(bits));
    CHECK(ops::to_float16_exactly(std::span(&value, 1), &got) && got == bits);
    const float next = std::nextafter(value, std::signbit(value) ? -INFINITY : INFINITY);
    CHECK(!ops::to_float16_exactly(std::span(&next, 1), &got));
  }
  for (const float value : {65536.0f, -1e30f, INFINITY, NAN, 0x1p-25f}) CHECK(!ops::to_float16_exactly(std::span(&value, 1), &got));
  const float some[] = {1, 2, 1e-9f, 4};
  uint16_t halves[4] = {};
  CHECK(!ops::to_float16_exactly(some, halves));
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
        const double top = map[width + x], bottom = map[2 * width + x];
        return top + (bottom - top) * static_cast<double>(vertical.fraction);
      };
      want.push_back(column(t.low) + (column(t.high) - column(t.low)) * static_cast<double>(t.fraction));
    }
    std::vector<float> got = empty(count);
    k.resize_bilinear_row(map.data(), width, vertical, taps.data(), count, got.data());
    check_equal(got, want, 1e-6, "resize_bilinear_row");
  });
}

}  // namespace clip_es::kernels_test
