// Linear layers with packed and with compact weights.
#include "clip/linear.h"

#include <cmath>

#include "check.h"
#include "support.h"

namespace clip_es::linear_test {

using check::largest_difference;
using reference::Matrix;

TEST(
    "a packed layer equals its twin with and without bias, also at sizes that leave tiles, panels and blocks partly empty, on 1 to 3 "
    "threads") {
  Random random(7);
  for (const int64_t inputs : {1, 37, 768, 1000})
    for (const int64_t outputs : {1, 15, 33})
      for (const int64_t rows : {1, 5, 13, 400})
        for (const bool with_bias : {false, true}) {
          const std::vector<float> weight = random.normal(outputs * inputs), x = random.normal(rows * inputs);
          const std::vector<float> bias = with_bias ? random.normal(outputs) : std::vector<float>();
          const Linear layer({weight, bias, outputs, inputs}, Precision::kFloat32);
          CHECK(layer.inputs() == inputs && layer.outputs() == outputs);
          const std::vector<double> b = with_bias ? std::vector<double>(bias.begin(), bias.end()) : std::vector<double>(outputs);
          const auto want = reference::linear(Matrix(rows, inputs, x), {Matrix(outputs, inputs, weight), b}).values;
          std::vector<float> first;
          for (int threads = 1; threads <= 3; ++threads) {
            std::vector<float> y(rows * outputs);
            layer(context_with(threads), x.data(), rows, y.data());
            CHECK_BELOW(largest_difference(y, want), 1e-6 * static_cast<double>(inputs) + 1e-5);
            if (first.empty()) first = y;
            CHECK(y == first);
          }
        }
}

TEST("a compact layer stores float16 numbers exactly in half the memory, and stays float32 if a weight is not a float16 number") {
  Random random(9);
  std::vector<float> weight = random.normal(33 * 65);
  for (float& value : weight) value = std::round(value * 64) / 64;
  weight[0] = 0x1p-24f;  // the smallest subnormal number
  weight[1] = -65504.0f;
  weight[2] = -0.0f;
  const std::vector<float> bias = random.normal(33), x = random.normal(20 * 65);
  const Linear packed({weight, bias, 33, 65}, Precision::kFloat32), compact = Linear::compact({weight, bias, 33, 65});
  CHECK(compact.bytes() == 33 * 65 * sizeof(uint16_t) + 33 * sizeof(float));
  std::vector<float> want(20 * 33), got(want.size());
  packed(test_context(), x.data(), 20, want.data());
  compact(test_context(), x.data(), 20, got.data());
  for (size_t i = 0; i < got.size(); ++i) CHECK_BELOW(std::abs(got[i] - want[i]), 1e-5 * (1 + std::abs(want[i])));
  for (const float other : {1.0f + 0x1p-11f, 65520.0f, 0x1p-25f}) {
    weight[3] = other;
    CHECK(Linear::compact({weight, bias, 33, 65}).bytes() == 33 * 65 * sizeof(float) + 33 * sizeof(float));
  }
}

}  // namespace clip_es::linear_test
