// Smoothing: it scales down channels that are much larger than the others, before they are rounded to 8-bit integers.
#include "clip/smooth.h"

#include <cmath>

#include "check.h"
#include "ops/packed_matmul.h"
#include "support.h"

namespace clip_es::smooth_test {

using check::largest_difference;

namespace {

constexpr int64_t kRows = 50, kWidth = 96, kOutputs = 40;

std::vector<float> product(Precision precision, const std::vector<float>& x, const LayerNormWeights& norm,
                           const std::vector<float>& weight) {
  std::vector<float> y(kRows * kOutputs), normalised(x.size());
  ops::layer_norm(test_context(), x.data(), kRows, kWidth, norm.gamma.data(), norm.beta.data(), normalised.data());
  ops::packed_matmul(test_context(), ops::pack_matrix(precision, weight.data(), kOutputs, kWidth), normalised.data(), kRows, {}, y.data());
  return y;
}

}  // namespace

TEST(
    "smoothing does not change the product after a norm in float32, and keeps int8 accurate when some channels are 100 times as large as "
    "others") {
  Random random(21);
  const std::vector<float> x = random.normal(kRows * kWidth), even_weight = random.normal(kOutputs * kWidth, 0.1f);
  const LayerNormWeights even{random.uniform(kWidth, 0.5f, 1.5f), random.normal(kWidth, 0.2f)};
  LayerNormWeights norm = even;
  std::vector<float> weight = even_weight;
  for (const size_t channel : {5u, 40u, 77u}) {  // the product stays equal: the norm grows and the weight shrinks by the same factor
    norm.gamma[channel] *= 100;
    norm.beta[channel] *= 100;
    for (size_t i = channel; i < weight.size(); i += kWidth) weight[i] /= 100;
  }
  const std::vector<float> exact = product(Precision::kFloat32, x, norm, weight);
  const double without = largest_difference(product(Precision::kInt8, x, norm, weight), exact);
  smooth(norm, weight);
  CHECK_BELOW(largest_difference(product(Precision::kFloat32, x, norm, weight), exact), 1e-5);
  const double with = largest_difference(product(Precision::kInt8, x, norm, weight), exact),
               even_off = largest_difference(product(Precision::kInt8, x, even, even_weight), exact);
  check::note("largest difference in int8 " + std::to_string(without) + ", smoothed " + std::to_string(with) + ", without large channels " +
              std::to_string(even_off));
  CHECK_BELOW(with, 1.5 * even_off);
  CHECK(without > 5 * with);
}

TEST("smoothing does not change channels that are always zero or that have only zero weights") {
  LayerNormWeights norm{{0, 1, 2}, {0, 0.5f, 1}};
  std::vector<float> weight{3, 0, 4, 5, 0, 6};
  smooth(norm, weight);
  CHECK(norm.gamma[0] == 0 && norm.beta[0] == 0 && weight[0] == 3 && weight[3] == 5);
  CHECK(norm.gamma[1] == 1 && norm.beta[1] == 0.5f && weight[1] == 0 && weight[4] == 0);
  CHECK(std::fabs(norm.gamma[2] * weight[2] - 8) < 1e-5 && norm.gamma[2] != 2);
}

TEST("smoothing makes three deviations of each channel as large as the largest weight that multiplies it") {
  Random random(5);
  const int64_t width = 24, outputs = 10;
  LayerNormWeights norm{random.normal(width), random.normal(width)};
  std::vector<float> weight = random.normal(outputs * width, 0.2f);
  smooth(norm, weight);
  for (int64_t c = 0; c < width; ++c) {
    float largest = 0;
    for (int64_t i = c; i < outputs * width; i += width) largest = std::max(largest, std::abs(weight[i]));
    CHECK_BELOW(std::abs((std::abs(norm.beta[c]) + 3 * std::abs(norm.gamma[c])) / largest - 1), 1e-5);
  }
}

}  // namespace clip_es::smooth_test
