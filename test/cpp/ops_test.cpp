// Compares row kernels, activations and the transformer block with their naive twins.
#include "ops/ops.h"

#include <cmath>
#include <numeric>

#include "check.h"
#include "clip/transformer.h"
#include "ops/gradcam.h"
#include "ops/reference/reference.h"
#include "support.h"

namespace clip_es::ops_test {

using check::largest_difference;
using reference::Matrix;

namespace {

std::vector<double> doubles(std::span<const float> values) { return {values.begin(), values.end()}; }

const std::vector<int64_t> kRows = {1, 2, 63, 64, 65, 200};
const std::vector<int64_t> kWidths = {1, 7, 64, 80, 192, 768};

}  // namespace

TEST("layer_norm equals its twin for 1 to 200 rows of odd widths, also in place") {
  Random random;
  double worst = 0;
  for (const int threads : {1, 3})
    for (const int64_t rows : kRows)
      for (const int64_t width : kWidths) {
        const std::vector<float> x = random.normal(rows * width, 3, 1), gamma = random.normal(width, 1, 1), beta = random.normal(width);
        const Matrix want = reference::layer_norm(Matrix(rows, width, x), {doubles(gamma), doubles(beta)});
        std::vector<float> y(x.size()), in_place = x;
        ops::layer_norm(context_with(threads), x.data(), rows, width, gamma.data(), beta.data(), y.data());
        ops::layer_norm(context_with(threads), in_place.data(), rows, width, gamma.data(), beta.data(), in_place.data());
        worst = std::max(worst, largest_difference(y, want.values));
        CHECK(in_place == y);
      }
  check::note("largest difference " + std::to_string(worst));
  CHECK_BELOW(worst, 1e-5);
}

TEST("layer_norm stays accurate when the mean is a thousand standard deviations") {
  Random random(2);
  const int64_t rows = 5, width = 768;
  const std::vector<float> x = random.normal(rows * width, 1, 1000), gamma(768, 1.0f), beta(768, 0.0f);
  std::vector<float> y(x.size());
  ops::layer_norm(test_context(), x.data(), rows, width, gamma.data(), beta.data(), y.data());
  CHECK_BELOW(largest_difference(y, reference::layer_norm(Matrix(rows, width, x), {doubles(gamma), doubles(beta)}).values), 2e-3);
}

TEST("a row of equal values is normalised to zeros, not to NaN") {
  const std::vector<float> x(3 * 65, 0.1f);
  std::vector<float> x_hat(x.size()), rstd(3);
  ops::normalise_rows(test_context(), x.data(), 3, 65, x_hat.data(), rstd.data());
  CHECK_BELOW(largest_difference(x_hat, std::vector<float>(x.size())), 1e-4);
  for (const float r : rstd) CHECK_BELOW(std::abs(r - 316.2278f), 1e-2);
}

TEST("normalise_rows returns the same x_hat and rstd as its twin") {
  Random random(3);
  for (const int64_t rows : kRows)
    for (const int64_t width : kWidths) {
      const std::vector<float> x = random.normal(rows * width, 2, -1);
      std::vector<float> x_hat(x.size()), rstd(static_cast<size_t>(rows));
      ops::normalise_rows(test_context(), x.data(), rows, width, x_hat.data(), rstd.data());
      const reference::NormalisedRows want = reference::normalise_rows(Matrix(rows, width, x));
      CHECK_BELOW(largest_difference(x_hat, want.x_hat.values), 1e-5);
      for (size_t i = 0; i < rstd.size(); ++i) CHECK_BELOW(std::abs(rstd[i] / want.rstd[i] - 1), 1e-5);
    }
}

TEST("gelu and quick_gelu, in float32 and bfloat16, and their slopes equal their twins from -100 to 100") {
  std::vector<float> u;
  for (int i = -10000; i <= 10000; ++i) u.push_back(static_cast<float>(i) * 0.01f);
  for (const Activation kind : {Activation::kQuickGelu, Activation::kGelu}) {
    std::vector<float> value = u, coarse = u, slope(u.size()), slope_in_place = u;
    ops::activate(test_context(), kind, value.data(), static_cast<int64_t>(u.size()));
    ops::activate(kind, coarse.data(), static_cast<int64_t>(u.size()), Precision::kBFloat16);
    ops::activation_slope(kind, u.data(), static_cast<int64_t>(u.size()), slope.data());
    ops::activation_slope(kind, slope_in_place.data(), static_cast<int64_t>(u.size()), slope_in_place.data());
    std::vector<double> want, want_slope;  // relative to u where u is large
    for (size_t i = 0; i < u.size(); ++i) {
      const float scale = std::max(1.0f, std::abs(u[i]));
      want.push_back(reference::activation(kind, u[i]) / static_cast<double>(scale));
      want_slope.push_back(reference::activation_slope(kind, u[i]));
      value[i] /= scale;
      coarse[i] /= scale;
    }
    CHECK_BELOW(largest_difference(value, want), 5e-7);
    CHECK_BELOW(largest_difference(coarse, want), 1e-5);
    CHECK_BELOW(largest_difference(slope, want_slope), 2e-6);
    CHECK(slope == slope_in_place);
  }
}

TEST("the slope of an activation equals its finite differences") {
  for (const Activation kind : {Activation::kQuickGelu, Activation::kGelu})
    for (double u = -6; u <= 6; u += 0.37) {
      const double h = 1e-5, difference = (reference::activation(kind, u + h) - reference::activation(kind, u - h)) / (2 * h);
      CHECK_BELOW(std::abs(difference - reference::activation_slope(kind, u)), 1e-8);
    }
}

TEST("activate and add process every element, for any count and number of threads") {
  Random random(4);
  for (const int threads : {1, 3})
    for (const int64_t count : {1, 5, 16384, 16385, 50001}) {
      const std::vector<float> a = random.normal(count), b = random.normal(count);
      std::vector<float> sum = a, active = a, want(a.size()), want_active(a.size());
      ops::add(context_with(threads), sum.data(), b.data(), count);
      ops::activate(context_with(threads), Activation::kGelu, active.data(), count);
      for (size_t i = 0; i < a.size(); ++i) {
        want[i] = a[i] + b[i];
        want_active[i] = static_cast<float>(reference::activation(Activation::kGelu, a[i]));
      }
      CHECK(sum == want);
      CHECK_BELOW(largest_difference(active, want_active), 1e-6);
    }
}

namespace {

// The softmax in place, as attention computes it. Returns the log-sum-exp.
float softmax(std::vector<float>& x, float scale) {
  const ops::ExponentialSum sum = ops::exponentials(x.data(), static_cast<int64_t>(x.size()), scale);
  for (float& value : x) value /= sum.sum;
  return sum.log_sum_exp();
}

}  // namespace

TEST("softmax and its log-sum-exp equal their twins for 1 to 1000 scores between -80 and 80") {
  Random random(5);
  double worst = 0, worst_log = 0;
  for (const int64_t length : {1, 2, 7, 64, 65, 129, 1000})
    for (const float scale : {1.0f, 0.125f, 0.111803f})
      for (const float range : {0.0f, 1.0f, 80.0f}) {
        std::vector<float> x = random.uniform(length, -range / scale, range / scale);
        const reference::Softmax want = reference::softmax(doubles(x), scale);
        const float l = softmax(x, scale);
        worst = std::max(worst, largest_difference(x, want.probabilities));
        worst_log = std::max(worst_log, largest_difference(std::vector{l}, std::vector{want.log_sum_exp}));
      }
  check::note("largest difference " + std::to_string(worst) + ", of the log-sum-exp " + std::to_string(worst_log));
  CHECK_BELOW(worst, 2e-5);  // scores near 80 are rounded by up to 4e-6, which becomes a relative error of the exponential
  CHECK_BELOW(worst_log, 4e-5);
}

TEST("exponentials for bfloat16 are within 3e-5 of the twin, and their log-sum-exp within 4e-5") {
  Random random(6);
  for (const int64_t length : {1, 2, 7, 64, 65, 129, 1000})
    for (const float scale : {1.0f, 0.125f, 0.111803f})
      for (const float range : {0.0f, 1.0f, 80.0f}) {
        std::vector<float> x = random.uniform(length, -range / scale, range / scale);
        const reference::Softmax want = reference::softmax(doubles(x), scale);
        const ops::ExponentialSum sum = ops::exponentials(x.data(), length, scale, Precision::kBFloat16);
        for (float& value : x) value /= sum.sum;
        CHECK_BELOW(largest_difference(x, want.probabilities), 3e-5);  // the rounding of the float32 scores causes 2e-5 of it
        CHECK_BELOW(std::abs(sum.log_sum_exp() - want.log_sum_exp), 4e-5);
      }
}

TEST("softmax of scores that are too far apart for float32 gives one 1 and zeros, not NaN") {
  std::vector<float> x = {-3e4f, 3e4f, 0, -1e30f};
  softmax(x, 1);
  CHECK(x[1] == 1);
  for (const size_t i : {0, 2, 3}) CHECK(x[i] >= 0 && x[i] < 1e-30f);
}

TEST("softmax of equal scores is uniform") {
  std::vector<float> x(65, 80.0f);
  softmax(x, 1);
  CHECK_BELOW(largest_difference(x, std::vector<double>(65, 1.0 / 65)), 1e-8);
}

TEST("a transformer block equals its twin with gelu and quick_gelu, heads of 32, 64 and 80, causal or not, and several sequences") {
  Random random(6);
  double worst = 0;
  for (const TransformerShape shape : {TransformerShape{64, 1, Activation::kQuickGelu}, TransformerShape{96, 3, Activation::kGelu},
                                       TransformerShape{160, 2, Activation::kQuickGelu}}) {
    const TestBlock block = random_block(random, shape);
    const TransformerBlock fast = pack_block(block.fast, Precision::kFloat32);
    for (const bool causal : {false, true})
      for (const std::vector<int64_t>& lengths : {std::vector<int64_t>{1}, {2}, {65}, {3, 1, 70}}) {
        std::vector<ops::Sequence> sequences;
        int64_t tokens = 0;
        for (const int64_t length : lengths) {
          sequences.push_back({tokens, length});
          tokens += length;
        }
        std::vector<float> x = random.normal(tokens * shape.width);
        std::vector<double> want;
        for (const ops::Sequence& s : sequences) {
          const std::span<const float> rows(x.data() + s.begin * shape.width, static_cast<size_t>(s.length * shape.width));
          const Matrix own = reference::transformer_block(block.naive, Matrix(s.length, shape.width, rows), causal).x;
          want.insert(want.end(), own.values.begin(), own.values.end());
        }
        transformer_block(test_context(), shape, Precision::kFloat32, fast, sequences, causal, x.data());
        worst = std::max(worst, largest_difference(x, want));
      }
  }
  check::note("largest difference " + std::to_string(worst));
  CHECK_BELOW(worst, 2e-5);
}

TEST("transformer_block_with_means computes the same x as its twin and adds the weighted attention of each image") {
  Random random(7);
  const TransformerShape shape{128, 2, Activation::kQuickGelu};
  const TestBlock block = random_block(random, shape);
  const TransformerBlock fast = pack_block(block.fast, Precision::kFloat32);
  const std::vector<ops::Sequence> together{{0, 2}, {2, 65}, {67, 129}, {196, 65}};
  for (const auto& images : {std::vector{ops::Sequence{0, 2}}, std::vector{ops::Sequence{0, 129}}, together}) {
    std::vector<float> x = random.normal((images.back().begin + images.back().length) * shape.width);
    std::vector<double> want_x, want_means;
    std::vector<HostSpan<float>> means;
    size_t size = 0;
    for (const ops::Sequence& image : images) size += static_cast<size_t>((image.length - 1) * (image.length - 1));
    std::vector<float> memory(size, 0.25f);
    size = 0;
    for (const auto& [begin, n] : images) {
      const std::span<const float> rows(x.data() + begin * shape.width, static_cast<size_t>(n * shape.width));
      const reference::BlockResult want = reference::transformer_block(block.naive, Matrix(n, shape.width, rows), false);
      want_x.insert(want_x.end(), want.x.values.begin(), want.x.values.end());
      for (int64_t i = 1; i < n; ++i)
        for (int64_t j = 1; j < n; ++j) want_means.push_back(0.25 + 0.5 * want.mean_attention(i, j));
      means.push_back({memory.data() + size, static_cast<size_t>((n - 1) * (n - 1))});
      size += static_cast<size_t>((n - 1) * (n - 1));
    }
    transformer_block_with_means(test_context(), shape, Precision::kFloat32, fast, images, x.data(), 0.5f, means);
    CHECK_BELOW(largest_difference(x, want_x), 2e-5);
    CHECK_BELOW(largest_difference(memory, want_means), 1e-6);
  }
}

TEST("mlp_gradient equals its twin for 1 to 65 patches and 1 to 150 classes") {
  Random random(8);
  double worst = 0;
  for (const Activation activation : {Activation::kQuickGelu, Activation::kGelu})
    for (const int64_t patches : {1, 2, 64, 65})
      for (const int64_t classes : {1, 3, 150}) {
        const int64_t width = 48, hidden = 192;
        const auto u = random.normal(patches * hidden), omega = random.normal(patches * hidden), rstd_2 = random.uniform(patches, 0.5f, 2),
                   rstd_post = random.uniform(patches, 0.5f, 2), h = random.normal(patches * width), z = random.normal(patches * width),
                   alpha = random.normal(classes * hidden), b = random.normal(classes * patches, 0.1f),
                   a_out = random.normal(classes * width), composite = random.normal(width * hidden, 0.1f),
                   gamma = random.normal(hidden, 0.1f), offset = random.normal(hidden, 0.1f), sums = random.normal(width);
        const ops::PackedMatrix packed = ops::pack_matrix(Precision::kFloat32, composite.data(), width, hidden);
        const ops::MlpGradient in{patches,      width,         hidden,           classes,      activation,    u.data(),
                                  omega.data(), rstd_2.data(), rstd_post.data(), h.data(),     z.data(),      alpha.data(),
                                  b.data(),     a_out.data(),  &packed,          gamma.data(), offset.data(), sums.data()};
        std::vector<float> out(static_cast<size_t>(classes * patches * width), NAN);
        ops::mlp_gradient(test_context(), in, out.data());
        worst = std::max(worst, largest_difference(out, reference::mlp_gradient(in, composite).values));
      }
  check::note("largest difference " + std::to_string(worst));
  CHECK_BELOW(worst, 1e-4);
}

}  // namespace clip_es::ops_test
