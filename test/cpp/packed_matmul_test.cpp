// Compares products of packed matrices in every precision with plain sums of the rounded numbers.
#include "ops/packed_matmul.h"

#include <cmath>

#include "check.h"
#include "ops/half.h"
#include "ops/reference/reference.h"
#include "support.h"
#include "torch/packed_weight.h"

namespace clip_es::packed_matmul_test {

namespace {

std::vector<float> rounded(std::vector<float> values) {
  std::vector<uint16_t> halves(values.size());
  ops::to_bfloat16(values.data(), static_cast<int64_t>(values.size()), halves.data());
  ops::from_bfloat16(halves.data(), static_cast<int64_t>(values.size()), values.data());
  return values;
}

// Rounds each row to integers from -127 to 127, times one scale per row.
std::vector<float> quantised(std::vector<float> values, int64_t columns) {
  for (auto first = values.begin(); first != values.end(); first += columns) {
    float largest = 0;
    for (auto v = first; v != first + columns; ++v) largest = std::max(largest, std::fabs(*v));
    for (auto v = first; largest > 0 && v != first + columns; ++v)
      *v = static_cast<float>(std::nearbyint(static_cast<double>(*v) * (127 / largest))) * (largest / 127);
  }
  return values;
}

struct Product {
  int64_t rows, outputs, inputs;
  std::vector<float> x, weight, bias;

  Product(Random& random, int64_t r, int64_t o, int64_t i)
      : rows(r),
        outputs(o),
        inputs(i),
        x(random.normal(r * i)),
        weight(random.normal(o * i, 1 / std::sqrt(static_cast<float>(i)))),
        bias(random.normal(o)) {}

  std::vector<double> sums(const std::vector<float>& of_x, const std::vector<float>& of_weight) const {
    std::vector<double> y(static_cast<size_t>(rows * outputs));
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t o = 0; o < outputs; ++o)
        for (int64_t i = 0; i < inputs; ++i) y[r * outputs + o] += static_cast<double>(of_x[r * inputs + i]) * of_weight[o * inputs + i];
    return y;
  }
};

// The largest difference from `want`, on 1 and 3 threads, with bias and without it.
double worst_of(const ops::PackedMatrix& packed, const Product& p, const std::vector<double>& want) {
  double worst = 0;
  for (const int threads : {1, 3})
    for (const bool biased : {false, true}) {
      std::vector<float> y(want.size(), NAN);
      ops::packed_matmul(context_with(threads), packed, p.x.data(), p.rows, {.bias = biased ? p.bias.data() : nullptr}, y.data());
      for (size_t i = 0; i < y.size(); ++i) {
        const double off = std::abs(want[i] + (biased ? p.bias[i % static_cast<size_t>(p.outputs)] : 0) - y[i]);
        worst = off <= worst ? worst : std::isnan(off) ? INFINITY : off;
      }
    }
  return worst;
}

template <class Body>
void for_sizes(Body body) {
  Random random(12);
  for (const int64_t rows : {1, 6, 7, 25, 400})
    for (const int64_t outputs : {1, 16, 65})
      for (const int64_t inputs : {1, 64, 769, 3100})
        if (rows < 400 || inputs < 3100 || outputs == 16) body(Product(random, rows, outputs, inputs));  // plain sums take long
}

}  // namespace

TEST("packed_matmul equals plain sums for 1 to 400 rows, 1 to 65 outputs and 1 to 3100 inputs, with and without bias, on 1 and 3 threads") {
  double worst = 0;
  for_sizes([&](const Product& p) {
    const ops::PackedMatrix packed = ops::pack_matrix(Precision::kFloat32, p.weight.data(), p.outputs, p.inputs);
    worst = std::max(worst, worst_of(packed, p, p.sums(p.x, p.weight)));
  });
  check::note("largest difference " + std::to_string(worst));
  CHECK_BELOW(worst, 1e-5);
}

TEST("packed_matmul in bfloat16 equals plain sums of the rounded numbers") {
  double worst = 0;
  for_sizes([&](const Product& p) {
    const ops::PackedMatrix packed = ops::pack_matrix(Precision::kBFloat16, p.weight.data(), p.outputs, p.inputs);
    worst = std::max(worst, worst_of(packed, p, p.sums(rounded(p.x), rounded(p.weight))));
  });
  check::note("largest difference " + std::to_string(worst));
  CHECK_BELOW(worst, 1e-5);
}

TEST("packed_matmul of 8-bit integers equals plain sums of the rounded numbers, with one scale per row of x and per output") {
  double worst = 0;
  for_sizes([&](const Product& p) {
    const ops::PackedMatrix packed = ops::pack_matrix(Precision::kInt8, p.weight.data(), p.outputs, p.inputs);
    const double off = worst_of(packed, p, p.sums(quantised(p.x, p.inputs), quantised(p.weight, p.inputs)));
    worst = std::max(worst, off * std::sqrt(static_cast<double>(p.inputs)));
  });
  check::note("largest difference times the square root of the inputs " + std::to_string(worst));
  CHECK_BELOW(
      worst,
      0.15);  // a number halfway between two integers may be rounded up or down; that changes the sum by about 4 / 127 of a large weight
}

TEST("the epilogue adds the product to y, or activates the sum of product and bias, for any number of inputs") {
  for_sizes([](const Product& p) {
    if (p.rows > 25) return;
    const ops::PackedMatrix packed = ops::pack_matrix(Precision::kFloat32, p.weight.data(), p.outputs, p.inputs);
    const std::vector<double> sums = p.sums(p.x, p.weight);
    for (const Activation activation : {Activation::kQuickGelu, Activation::kGelu}) {
      std::vector<float> added(sums.size(), 7.0f), active(sums.size(), NAN);
      ops::packed_matmul(test_context(), packed, p.x.data(), p.rows, {.bias = p.bias.data(), .add = true}, added.data());
      ops::packed_matmul(test_context(), packed, p.x.data(), p.rows, {.bias = p.bias.data(), .activation = activation}, active.data());
      for (size_t i = 0; i < sums.size(); ++i) {
        const double sum = sums[i] + p.bias[i % static_cast<size_t>(p.outputs)];
        CHECK_BELOW(std::abs(added[i] - (sum + 7)), 1e-5);
        CHECK_BELOW(std::abs(active[i] - reference::activation(activation, sum)), 1e-5);
      }
    }
  });
}

TEST("packed_feed_forward gives the same bits as two products, also if x is computed from y") {
  Random random(14);
  for (const int threads : {1, 3})
    for (const Precision precision : {Precision::kFloat32, Precision::kBFloat16})
      for (const int64_t rows : {0, 1, 13, 100})
        for (const int64_t hidden : {1, 65, 1700}) {
          const Product up(random, rows, hidden, 96), down(random, rows, 96, hidden);
          const ops::PackedMatrix in = ops::pack_matrix(precision, up.weight.data(), hidden, 96),
                                  out = ops::pack_matrix(precision, down.weight.data(), 96, hidden);
          const auto half = [](const std::vector<float>& x) {
            return [&x](int64_t row, float* to) {
              for (int64_t i = 0; i < 96; ++i) to[i] = x[row * 96 + i] / 2;
              return to;
            };
          };
          std::vector<float> want = up.x, y = up.x, between(static_cast<size_t>(rows * hidden));
          HostContext& context = context_with(threads);
          ops::packed_matmul(context, in, half(up.x), rows, {.bias = up.bias.data(), .activation = Activation::kQuickGelu}, between.data());
          ops::packed_matmul(context, out, between.data(), rows, {.bias = down.bias.data(), .add = true}, want.data());
          ops::packed_feed_forward(context, {in, up.bias.data()}, Activation::kQuickGelu, {out, down.bias.data()}, half(y), rows, y.data());
          CHECK(y == want);
        }
}

TEST("zero inputs and zero weights give zeros in every precision") {
  const std::vector<float> x(3 * 70), weight(5 * 70);
  for (const Precision precision : {Precision::kFloat32, Precision::kBFloat16, Precision::kInt8}) {
    std::vector<float> y(15, NAN);
    ops::packed_matmul(test_context(), ops::pack_matrix(precision, weight.data(), 5, 70), x.data(), 3, {}, y.data());
    for (const float value : y) CHECK(value == 0);
  }
}

TEST("pack_transposed_matrix of the transpose gives the same products, bit for bit, as pack_matrix") {
  Random random(13);
  for (const Precision precision : {Precision::kFloat32, Precision::kBFloat16})
    for (const int64_t outputs : {1, 33, 96})
      for (const int64_t inputs : {1, 2, 67, 800}) {
        const Product p(random, 13, outputs, inputs);
        std::vector<float> transposed(p.weight.size());
        for (int64_t o = 0; o < outputs; ++o)
          for (int64_t i = 0; i < inputs; ++i) transposed[i * outputs + o] = p.weight[o * inputs + i];
        std::vector<float> y(static_cast<size_t>(13 * outputs)), again(y.size());
        ops::packed_matmul(test_context(), ops::pack_matrix(precision, p.weight.data(), outputs, inputs), p.x.data(), 13, {}, y.data());
        ops::packed_matmul(test_context(), ops::pack_transposed_matrix(precision, transposed.data(), outputs, inputs), p.x.data(), 13, {},
                           again.data());
        CHECK(y == again);
      }
}

TEST("LibTorch: oneDNN's packed product in bfloat16 equals plain sums of the rounded numbers, up to the rounding of the result") {
  need_libtorch();
  Random random(14);
  const Product p(random, 33, 70, 96);
  const auto layer = torch::PackedWeight::make(p.weight.data(), p.inputs, p.outputs);
  if (!layer) check::skip("oneDNN does not multiply bfloat16 on this CPU");
  std::vector<uint16_t> x(p.x.size());
  ops::to_bfloat16(p.x.data(), static_cast<int64_t>(x.size()), x.data());
  std::vector<float> y(static_cast<size_t>(p.rows * p.outputs));
  layer->multiply(x.data(), p.rows, y.data());
  const std::vector<double> want = p.sums(rounded(p.x), rounded(p.weight));
  for (size_t i = 0; i < y.size(); ++i) CHECK_BELOW(std::abs(y[i] - want[i]) / std::max(1.0, std::abs(want[i])), 1.0 / 256);
}

TEST("a transposed matrix with an odd number of inputs is packed without the memory after it") {
  Random random(14);
  for (const Precision precision : {Precision::kFloat32, Precision::kBFloat16}) {
    const int64_t outputs = 20, inputs = 7;
    const Product p(random, 5, outputs, inputs);
    std::vector<float> weight = p.weight;
    weight.insert(weight.end(), outputs, NAN);
    std::vector<float> y(5 * outputs);
    ops::packed_matmul(test_context(), ops::pack_transposed_matrix(precision, weight.data(), outputs, inputs), p.x.data(), 5, {}, y.data());
    for (const float value : y) CHECK(std::isfinite(value));
  }
}

}  // namespace clip_es::packed_matmul_test
