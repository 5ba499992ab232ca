// Linear layers on the CPU: as they were read, packed and compact.
#include "clip/linear.h"

#include <cmath>

#include "check.h"
#include "support.h"

using namespace clip_es;
using check::largest_difference;
using reference::Matrix;

TEST("a float32 linear layer equals the twin with and without bias, for 1 to 130 rows") {
  Random random(4);
  for (const int threads : {1, 3})
    for (const int64_t rows : {1, 2, 33, 130})
      for (const bool with_bias : {false, true}) {
        const int64_t inputs = 96, outputs = 70;
        const std::vector<float> x = random.normal(rows * inputs), weight = random.normal(outputs * inputs, 0.1f);
        const std::vector<float> bias = random.normal(outputs);
        const Linear layer(weight, with_bias ? std::span<const float>(bias) : std::span<const float>(), inputs, Precision::kFloat32);
        CHECK(layer.inputs() == inputs && layer.outputs() == outputs);
        std::vector<float> y(static_cast<size_t>(rows * outputs));
        layer(context_with(threads), x.data(), rows, y.data());
        const std::vector<double> b =
            with_bias ? std::vector<double>(bias.begin(), bias.end()) : std::vector<double>(static_cast<size_t>(outputs));
        CHECK_BELOW(largest_difference(y, reference::linear(Matrix(rows, inputs, x), {Matrix(outputs, inputs, weight), b}).values), 1e-5);
      }
}

TEST("a packed layer equals the plain one at sizes that fill no tile, panel or block, on 1 to 3 threads") {
  test_context();
  Random random(7);
  for (const int64_t inputs : {1, 37, 768, 1000})
    for (const int64_t outputs : {1, 15, 33})
      for (const int64_t rows : {1, 5, 13, 400})
        for (int threads = 1; threads <= 3; ++threads) {
          const std::vector<float> weight = random.normal(outputs * inputs), bias = random.normal(outputs),
                                   x = random.normal(rows * inputs);
          std::vector<float> want(static_cast<size_t>(rows * outputs)), got(want.size());
          Linear layer(weight, bias, inputs, Precision::kFloat32);
          layer(context_with(threads), x.data(), rows, want.data());
          layer.pack(Precision::kFloat32);
          layer(context_with(threads), x.data(), rows, got.data());
          CHECK_BELOW(largest_difference(got, want), 1e-6 * static_cast<double>(inputs) + 1e-5);
        }
}

TEST("a packed layer's result is the same to the last bit on any number of threads") {
  Random random(8);
  const std::vector<float> weight = random.normal(40 * 100), x = random.normal(500 * 100);
  Linear layer(weight, {}, 100, Precision::kFloat32);
  layer.pack(Precision::kFloat32);
  std::vector<float> one(500 * 40), three(one.size());
  layer(context_with(1), x.data(), 500, one.data());
  layer(context_with(3), x.data(), 500, three.data());
  CHECK(one == three);
}

TEST("a compact layer holds binary16 weights in half the memory and multiplies as the plain one; others stay float32") {
  test_context();
  Random random(9);
  std::vector<float> weight = random.normal(33 * 65);
  for (float& value : weight) value = std::round(value * 64) / 64;
  weight[0] = 0x1p-24f;  // the smallest subnormal number
  weight[1] = -65504.0f;
  weight[2] = -0.0f;
  const std::vector<float> bias = random.normal(33), x = random.normal(20 * 65);
  const Linear plain(weight, bias, 65, Precision::kFloat32), compact = Linear::compact(weight, bias, 65);
  CHECK(compact.bytes() < plain.bytes() * 6 / 10);
  std::vector<float> want(20 * 33), got(want.size());
  plain(test_context(), x.data(), 20, want.data());
  compact(test_context(), x.data(), 20, got.data());
  CHECK(got == want);
  for (const float other : {1.0f + 0x1p-11f, 65520.0f, 0x1p-25f}) {
    weight[3] = other;
    CHECK(Linear::compact(weight, bias, 65).bytes() == plain.bytes());
  }
}
