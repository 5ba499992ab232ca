// Compares attention in blocks, its mean over heads and its backward pass with the twins, which use full n x n matrices.
#include "ops/attention.h"

#include <cmath>

#include "check.h"
#include "ops/reference/reference.h"
#include "support.h"

namespace clip_es::attention_test {

using check::largest_difference;
using reference::Matrix;

namespace {

struct Heads {
  int64_t width, heads;
};
const std::vector<Heads> kShapes = {{64, 1}, {128, 2}, {96, 3}, {160, 2}};  // the widths of one head are 64, 64, 32 and 80
const std::vector<int64_t> kLengths = {1, 2, 64, 65, 132, 133, 270};

struct Forward {
  std::vector<float> out, log_sum_exp;
};

Forward run(HostContext& context, const std::vector<float>& qkv, Heads shape, int64_t n, bool causal) {
  Forward f{std::vector<float>(n * shape.width), std::vector<float>(n * shape.heads)};
  const ops::Sequence all{0, n};
  ops::attention(context, {qkv.data(), shape.width, shape.heads}, {&all, 1}, causal, f.out.data(), f.log_sum_exp.data());
  return f;
}

}  // namespace

TEST("attention equals its twin for sequences of 1 to 270 tokens, heads of 32, 64 and 80, causal or not") {
  Random random;
  double worst = 0, worst_log = 0;
  for (const Heads shape : kShapes)
    for (const int64_t n : kLengths)
      for (const bool causal : {false, true}) {
        const std::vector<float> qkv = random.normal(3 * n * shape.width);
        const reference::Attention want = reference::attention(Matrix(n, 3 * shape.width, qkv), shape.heads, causal);
        for (const int threads : {1, 3}) {
          const Forward got = run(context_with(threads), qkv, shape, n, causal);
          worst = std::max(worst, largest_difference(got.out, want.out.values));
          worst_log = std::max(worst_log, largest_difference(got.log_sum_exp, want.log_sum_exp.values));
        }
      }
  check::note("largest difference " + std::to_string(worst) + ", of the log-sum-exp " + std::to_string(worst_log));
  CHECK_BELOW(worst, 5e-6);
  CHECK_BELOW(worst_log, 1e-5);
}

TEST("attention of scores up to 80 in size equals its twin") {
  Random random(2);
  const Heads shape{64, 1};
  const int64_t n = 65;
  std::vector<float> qkv = random.normal(3 * n * shape.width);
  for (int64_t i = 0; i < n; ++i)
    for (int64_t c = 0; c < 2 * shape.width; ++c) qkv[i * 3 * shape.width + c] *= 4.5f;
  const reference::Attention want = reference::attention(Matrix(n, 3 * shape.width, qkv), shape.heads, false);
  const Forward got = run(test_context(), qkv, shape, n, false);
  double largest = 0;
  for (const double l : want.log_sum_exp.values) largest = std::max(largest, l);
  CHECK(largest > 60);
  CHECK_BELOW(largest_difference(got.out, want.out.values), 5e-5);
}

TEST("each sequence attends only to itself") {
  Random random(3);
  const Heads shape{128, 2};
  const std::vector<int64_t> lengths = {1, 65, 2, 129, 7};
  int64_t tokens = 0;
  std::vector<ops::Sequence> sequences;
  for (const int64_t length : lengths) {
    sequences.push_back({tokens, length});
    tokens += length;
  }
  const std::vector<float> qkv = random.normal(3 * tokens * shape.width);
  for (const bool causal : {false, true}) {
    std::vector<float> out(static_cast<size_t>(tokens * shape.width));
    ops::attention(test_context(), {qkv.data(), shape.width, shape.heads}, sequences, causal, out.data(), nullptr);
    for (const ops::Sequence& s : sequences) {
      const auto own = [&](const std::vector<float>& all, int64_t columns) {
        return std::vector<float>(all.begin() + s.begin * columns, all.begin() + (s.begin + s.length) * columns);
      };
      const Matrix want = reference::attention(Matrix(s.length, 3 * shape.width, own(qkv, 3 * shape.width)), shape.heads, causal).out;
      CHECK_BELOW(largest_difference(own(out, shape.width), want.values), 5e-6);
    }
  }
}

TEST("attention_with_mean gives the result of attention and adds the weighted mean over heads, without the class token") {
  Random random(4);
  double worst = 0;
  for (const Heads shape : kShapes)
    for (const int64_t n : kLengths)
      for (const int threads : {1, 3}) {
        const std::vector<float> qkv = random.normal(3 * n * shape.width);
        const std::vector<float> start = random.uniform((n - 1) * (n - 1));
        std::vector<float> out(static_cast<size_t>(n * shape.width)), mean = start;
        ops::attention_with_mean(context_with(threads), {qkv.data(), shape.width, shape.heads}, n, out.data(), nullptr, 0.125f,
                                 mean.data());
        CHECK(out == run(context_with(threads), qkv, shape, n, false).out);
        const Matrix p = reference::mean_over_heads(reference::attention(Matrix(n, 3 * shape.width, qkv), shape.heads, false));
        std::vector<double> want;
        for (int64_t i = 1; i < n; ++i)
          for (int64_t j = 1; j < n; ++j) want.push_back(start[(i - 1) * (n - 1) + j - 1] + 0.125 * p(i, j));
        worst = std::max(worst, largest_difference(mean, want));
      }
  check::note("largest difference " + std::to_string(worst));
  CHECK_BELOW(worst, 5e-7);
}

TEST("the textbook gradient of attention equals finite differences") {
  Random random(5);
  const Heads shape{12, 3};
  const int64_t n = 5;
  const Matrix qkv(n, 3 * shape.width, random.normal(3 * n * shape.width)), d_out(n, shape.width, random.normal(n * shape.width));
  auto value = [&](const Matrix& at) {
    double sum = 0;
    const Matrix out = reference::attention(at, shape.heads, false).out;
    for (size_t i = 0; i < out.values.size(); ++i) sum += out.values[i] * d_out.values[i];
    return sum;
  };
  const Matrix gradient = reference::attention_gradient(qkv, shape.heads, d_out);
  for (size_t i = 0; i < qkv.values.size(); ++i) {
    Matrix up = qkv, down = qkv;
    up.values[i] += 1e-5;
    down.values[i] -= 1e-5;
    CHECK_BELOW(std::abs((value(up) - value(down)) / 2e-5 - gradient.values[i]), 1e-8);
  }
}

TEST("attention_gradient_sums equals the full gradients summed over the patches, for 1, 3 and 20 classes") {
  Random random(6);
  double worst = 0;
  for (const Heads shape : kShapes)
    for (const int64_t n : {2, 64, 65, 66, 130})
      for (const int64_t classes : {1, 3, 20}) {
        if (n > 66 && classes > 3) continue;  // the twin is slow
        const int threads = classes == 3 ? 1 : 3;
        const std::vector<float> qkv = random.normal(3 * n * shape.width), d_out = random.normal(classes * (n - 1) * shape.width);
        const Forward forward = run(context_with(threads), qkv, shape, n, false);
        std::vector<float> got(static_cast<size_t>(classes * 3 * shape.width));
        ops::attention_gradient_sums(context_with(threads), {qkv.data(), shape.width, shape.heads}, n, forward.out.data(),
                                     forward.log_sum_exp.data(), d_out.data(), classes, got.data());
        const Matrix x(n, 3 * shape.width, qkv);
        for (int64_t k = 0; k < classes; ++k) {
          Matrix d(n, shape.width);  // the class token's row is zero
          std::copy_n(d_out.begin() + k * (n - 1) * shape.width, (n - 1) * shape.width, d.values.begin() + shape.width);
          const std::vector<double> want = reference::sum_over_patches(reference::attention_gradient(x, shape.heads, d));
          const std::vector<float> own(got.begin() + k * 3 * shape.width, got.begin() + (k + 1) * 3 * shape.width);
          worst = std::max(worst, largest_difference(own, want) / std::sqrt(static_cast<double>(n)));  // sums of n terms
        }
      }
  check::note("largest difference, divided by the square root of the number of tokens: " + std::to_string(worst));
  CHECK_BELOW(worst, 5e-6);
}

TEST("attention_gradient_sums of scores up to 80 in size equals its twin") {
  Random random(7);
  const Heads shape{64, 1};
  const int64_t n = 65;
  std::vector<float> qkv = random.normal(3 * n * shape.width);
  for (int64_t i = 0; i < n; ++i)
    for (int64_t c = 0; c < 2 * shape.width; ++c) qkv[i * 3 * shape.width + c] *= 4.5f;
  const std::vector<float> d_out = random.normal((n - 1) * shape.width);
  const Forward forward = run(test_context(), qkv, shape, n, false);
  std::vector<float> got(static_cast<size_t>(3 * shape.width));
  ops::attention_gradient_sums(test_context(), {qkv.data(), shape.width, shape.heads}, n, forward.out.data(), forward.log_sum_exp.data(),
                               d_out.data(), 1, got.data());
  Matrix d(n, shape.width);
  std::copy(d_out.begin(), d_out.end(), d.values.begin() + shape.width);
  const std::vector<double> want = reference::sum_over_patches(reference::attention_gradient(Matrix(n, 3 * shape.width, qkv), 1, d));
  double largest = 0;
  for (const double value : want) largest = std::max(largest, std::abs(value));
  CHECK_BELOW(largest_difference(got, want) / largest, 1e-4);
}

TEST("threads have enough memory for the longest sequence, wherever it is among the others") {
  Random random(9);
  const Heads shape{64, 1};
  for (const std::vector<int64_t>& lengths : {std::vector<int64_t>{900, 2}, {2, 900, 3}, {3, 2, 900}}) {
    std::vector<ops::Sequence> sequences;
    int64_t tokens = 0;
    for (const int64_t length : lengths) {
      sequences.push_back({tokens, length});
      tokens += length;
    }
    const std::vector<float> qkv = random.normal(3 * tokens * shape.width);
    std::vector<float> want, got(tokens * shape.width);
    for (const ops::Sequence& s : sequences) {
      const auto first = qkv.begin() + s.begin * 3 * shape.width;
      const Forward own = run(context_with(1), {first, first + s.length * 3 * shape.width}, shape, s.length, false);
      want.insert(want.end(), own.out.begin(), own.out.end());
    }
    for (int round = 0; round < 10; ++round) {
      ops::attention(context_with(3), {qkv.data(), shape.width, shape.heads}, sequences, false, got.data(), nullptr);
      CHECK(got == want);
    }
  }
}

TEST("attention_gradient_sums equals its twin for more keys than one block holds") {
  Random random(10);
  const Heads shape{64, 2};
  for (const int64_t n : {132, 133, 300}) {
    const std::vector<float> qkv = random.normal(3 * n * shape.width), d_out = random.normal((n - 1) * shape.width);
    const Forward forward = run(test_context(), qkv, shape, n, false);
    std::vector<float> got(3 * shape.width);
    ops::attention_gradient_sums(test_context(), {qkv.data(), shape.width, shape.heads}, n, forward.out.data(), forward.log_sum_exp.data(),
                                 d_out.data(), 1, got.data());
    Matrix d(n, shape.width);
    std::copy(d_out.begin(), d_out.end(), d.values.begin() + shape.width);
    const Matrix x(n, 3 * shape.width, qkv);
    const std::vector<double> want = reference::sum_over_patches(reference::attention_gradient(x, shape.heads, d));
    CHECK_BELOW(largest_difference(got, want) / std::sqrt(static_cast<double>(n)), 5e-6);
  }
}

}  // namespace clip_es::attention_test
