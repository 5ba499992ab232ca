// Compares the closed form of softmax-GradCAM with the textbook method, which is its naive twin.
#include "cam/softmax_gradcam.h"

#include <algorithm>
#include <cmath>

#include "cam/last_block_forward.h"
#include "check.h"
#include "support.h"

namespace clip_es::softmax_gradcam_test {

using check::largest_difference;
using reference::Matrix;

namespace {

struct CamResult {
  std::vector<float> logits, probabilities, cams, mean_attention;
};

// rows: the texts of all labels. Label k has rows_of[k] of them.
CamResult compute_cams(HostContext& context, const TestModel& test, const std::vector<float>& x, const std::vector<float>& rows,
                       const std::vector<int64_t>& rows_of, const std::vector<float>& background) {
  const Model& model = test.fast;
  const auto n = static_cast<int64_t>(x.size()) / model.image.width, patches = n - 1, labels = static_cast<int64_t>(rows_of.size());
  const LastBlockShape shape{model.image.width, model.last_hidden, model.image.heads};
  std::vector<float> memory(last_block_floats(shape, n));
  HostLastBlock last{.tokens = n};
  lay_out_last_blocks(shape, std::span(&last, 1), HostSpan<float>(memory));
  const size_t texts = rows_of.size() + background.size() / model.shape.embedding;
  CamResult r{std::vector<float>(texts), std::vector<float>(texts), std::vector<float>(labels * patches),
              std::vector<float>(patches * patches)};
  std::vector<int64_t> first_row{0};
  for (const int64_t count : rows_of) first_row.push_back(first_row.back() + count);
  const LastBlockWeights weights = make_last_block_weights(context, test.last, Precision::kFloat32);
  const HostSpan<float> means[] = {r.mean_attention};
  run_last_block(context, model, weights, x, {&last, 1}, means);
  softmax_gradcam(context, model, weights, last, {rows, first_row, background}, r.logits, r.probabilities, maps_of(r.cams, {1, patches}));
  return r;
}

// The normalisation of the released code: min-max, twice, for each row. Each map is first divided by its maximum, because it contains the
// factor p (1 - p). If that factor is tiny, the 1e-7 that min-max adds to its divisor would make the map nearly zero.
std::vector<double> normalised(const Matrix& cams) {
  std::vector<double> all;
  for (int64_t k = 0; k < cams.rows; ++k) {
    std::vector<double> map(cams.values.begin() + k * cams.columns, cams.values.begin() + (k + 1) * cams.columns);
    const double largest = *std::max_element(map.begin(), map.end());
    if (largest > 0)
      for (double& value : map) value /= largest;
    map = reference::min_max(reference::min_max(map));
    all.insert(all.end(), map.begin(), map.end());
  }
  return all;
}

std::vector<float> joined(const std::vector<float>& a, const std::vector<float>& b) {
  std::vector<float> all = a;
  all.insert(all.end(), b.begin(), b.end());
  return all;
}

Matrix rows_of(const std::vector<float>& values, int64_t columns) {
  return {static_cast<int64_t>(values.size()) / columns, columns, values};
}

double largest_relative(const std::vector<float>& got, const std::vector<double>& want) {
  double worst = 0, size = 0;
  for (const double value : want) size = std::max(size, std::abs(value));
  worst = largest_difference(got, want) / size;
  return worst;
}

const TransformerShape kSmall{64, 1, Activation::kQuickGelu}, kGelu{96, 3, Activation::kGelu}, kWide{160, 2, Activation::kQuickGelu};

}  // namespace

TEST("the gradient of the textbook GradCAM equals finite differences of the score") {
  Random random;
  const TestModel model = random_last_block(random, {8, 2, Activation::kGelu}, 6);
  const int64_t n = 4;
  const Matrix x(n, 8, random.normal(n * 8)), texts = rows_of(random.unit_rows(5, 6), 6);
  const reference::GradCam cam = reference::softmax_gradcam(model.naive, x, texts, 2);
  const Matrix y = reference::layer_norm(x, model.naive.block.ln_1);
  Matrix weights(2, 8);
  for (int64_t i = 1; i < n; ++i)
    for (int64_t c = 0; c < 8; ++c) {
      Matrix up = y, down = y;
      up(i, c) += 1e-5;
      down(i, c) -= 1e-5;
      const auto high = reference::class_probabilities(model.naive, x, up, texts),
                 low = reference::class_probabilities(model.naive, x, down, texts);
      for (int64_t k = 0; k < 2; ++k) weights(k, c) += (high[k] - low[k]) / 2e-5 / static_cast<double>(n - 1);
    }
  CHECK_BELOW(largest_difference(weights.values, cam.channel_weights.values), 1e-8);
}

TEST("softmax_gradcam equals the textbook CAM for 1, 3 and 20 labels, heads of 32, 64 and 80, gelu and quick_gelu") {
  Random random(2);
  double worst = 0, worst_logit = 0, worst_attention = 0;
  for (const TransformerShape& shape : {kSmall, kGelu, kWide})
    for (const int64_t n : {2, 17, 66})
      for (const int64_t labels : {1, 3, 20}) {
        const int64_t background = labels == 3 ? 0 : 7, embedding = 40;
        const TestModel model = random_last_block(random, shape, embedding);
        const std::vector<float> x = random.normal(n * shape.width), rows = random.unit_rows(labels, embedding),
                                 rest = random.unit_rows(background, embedding);
        const reference::GradCam want =
            reference::softmax_gradcam(model.naive, rows_of(x, shape.width), rows_of(joined(rows, rest), embedding), labels);
        const CamResult got = compute_cams(context_with(labels == 3 ? 1 : 3), model, x, rows, std::vector<int64_t>(labels, 1), rest);
        worst = std::max(worst, largest_difference(got.cams, normalised(want.cams)));
        worst_logit = std::max(worst_logit, largest_relative(got.logits, want.logits));
        CHECK_BELOW(largest_difference(got.probabilities, want.probabilities), 1e-5);
        std::vector<double> attention;
        for (int64_t i = 1; i < n; ++i)
          for (int64_t j = 1; j < n; ++j) attention.push_back(want.mean_attention(i, j));
        worst_attention = std::max(worst_attention, largest_difference(got.mean_attention, attention));
      }
  check::note("largest difference: CAMs " + std::to_string(worst) + ", logits (relative) " + std::to_string(worst_logit) + ", attention " +
              std::to_string(worst_attention));
  CHECK_BELOW(worst, 2e-5);
  CHECK_BELOW(worst_logit, 2e-5);
  CHECK_BELOW(worst_attention, 1e-6);
}

TEST("softmax_gradcam stays accurate when a label's probability rounds to 1 in float32") {
  Random random(3);
  const int64_t n = 50, embedding = 32;
  TestModel model = random_last_block(random, kSmall, embedding);
  model.fast.logit_scale = 100;
  model.naive.logit_scale = 100;
  const std::vector<float> x = random.normal(n * kSmall.width), rest = random.unit_rows(7, embedding);
  std::vector<float> rows = random.unit_rows(2, embedding);
  // Moves the first label's text towards the image's embedding, so that its logit grows. The logits of the unit vectors are that embedding.
  const reference::GradCam probe = reference::softmax_gradcam(
      model.naive, rows_of(x, kSmall.width),
      [&] {
        Matrix axes(embedding, embedding);
        for (int64_t e = 0; e < embedding; ++e) axes(e, e) = 1;
        return axes;
      }(),
      1);
  for (int64_t e = 0; e < embedding; ++e) {
    float& value = rows[e];
    value = 0.3f * value + 0.9f * static_cast<float>(probe.logits[e] / 100);
  }
  const reference::GradCam want =
      reference::softmax_gradcam(model.naive, rows_of(x, kSmall.width), rows_of(joined(rows, rest), embedding), 2);
  CHECK(want.probabilities[0] > 1 - 1e-8);
  const CamResult got = compute_cams(test_context(), model, x, rows, {1, 1}, rest);
  CHECK_BELOW(largest_difference(got.cams, normalised(want.cams)), 2e-5);
}

TEST("a label with several rows has the score of their mean, and its CAM is the mean of the CAMs of its rows") {
  Random random(4);
  const int64_t n = 30, embedding = 40, patches = n - 1;
  const TestModel model = random_last_block(random, kGelu, embedding);
  const std::vector<float> x = random.normal(n * kGelu.width), rows = random.unit_rows(4, embedding), rest = random.unit_rows(3, embedding);
  const CamResult got = compute_cams(test_context(), model, x, rows, {3, 1}, rest);
  Matrix means = rows_of(joined({rows.begin() + 2 * embedding, rows.end()}, rest), embedding);  // row 0 is overwritten below
  auto mean_of_three = [&](int64_t e) {
    double sum = 0;
    for (int64_t r = 0; r < 3; ++r) sum += static_cast<double>(rows[r * embedding + e]) / 3;
    return sum;
  };
  for (int64_t e = 0; e < embedding; ++e) means(0, e) = mean_of_three(e);
  const reference::GradCam competing = reference::softmax_gradcam(model.naive, rows_of(x, kGelu.width), means, 2);
  CHECK_BELOW(largest_relative(got.logits, competing.logits), 2e-5);
  CHECK_BELOW(largest_difference(got.probabilities, competing.probabilities), 1e-5);

  Matrix sum(1, patches);
  for (int64_t r = 0; r < 3; ++r) {
    Matrix texts = means;
    for (int64_t e = 0; e < embedding; ++e) texts(0, e) = rows[r * embedding + e];
    Matrix own = reference::softmax_gradcam(model.naive, rows_of(x, kGelu.width), texts, 1).cams;
    own.values = normalised(own);
    sum = reference::add(sum, own);
  }
  std::vector<double> want = normalised(sum);
  Matrix second(1, patches);
  std::copy_n(competing.cams.values.begin() + patches, patches, second.values.begin());
  const std::vector<double> want_second = normalised(second);
  want.insert(want.end(), want_second.begin(), want_second.end());
  CHECK_BELOW(largest_difference(got.cams, want), 2e-5);
}

TEST("a label of two equal rows has the CAM of one row") {
  Random random(12);
  const int64_t n = 20, embedding = 24;
  const TestModel model = random_last_block(random, kSmall, embedding);
  const std::vector<float> x = random.normal(n * kSmall.width), row = random.unit_rows(1, embedding), rest = random.unit_rows(3, embedding);
  const CamResult one = compute_cams(test_context(), model, x, row, {1}, rest),
                  two = compute_cams(test_context(), model, x, joined(row, row), {2}, rest);
  CHECK_BELOW(largest_difference(two.cams, one.cams), 1e-6);
}

TEST("the CAMs of one label do not depend on how many labels' gradients share a product") {
  Random random(5);
  const int64_t n = 40, embedding = 40;
  const TestModel model = random_last_block(random, kSmall, embedding);
  const std::vector<float> x = random.normal(n * kSmall.width), rows = random.unit_rows(20, embedding);
  const CamResult all = compute_cams(test_context(), model, x, rows, std::vector<int64_t>(20, 1), {});
  const CamResult one =
      compute_cams(test_context(), model, x, {rows.begin(), rows.begin() + embedding}, {1}, {rows.begin() + embedding, rows.end()});
  const std::vector<float> first(all.cams.begin(), all.cams.begin() + n - 1);
  CHECK_BELOW(largest_difference(first, one.cams), 2e-5);
  CHECK_BELOW(largest_difference(all.logits, one.logits), 1e-5);
}

TEST("labels whose gradients do not fit into 24 MB together are computed in groups, with the same CAMs") {
  Random random(15);
  const int64_t n = 300, embedding = 16, group = (24 << 20) / 4 / ((n - 1) * kSmall.width);
  const TestModel model = random_last_block(random, kSmall, embedding);
  const std::vector<float> x = random.normal(n * kSmall.width), rows = random.unit_rows(2 * group + 2, embedding);
  const auto run = [&](int64_t first, int64_t count, HostContext& context) {
    const auto own = rows.begin() + first * embedding, end = own + count * embedding;
    return compute_cams(context, model, x, {own, end}, std::vector<int64_t>(count, 1), joined({rows.begin(), own}, {end, rows.end()})).cams;
  };
  ThreadPool pool(2);
  Arena arena, small_arena;
  HostContext context{pool, arena}, small_context{pool, small_arena};
  const std::vector<float> all = run(0, 2 * group + 2, context), last = run(2 * group - 1, 3, small_context);
  CHECK_BELOW(largest_difference(std::span(all).last(last.size()), last), 2e-5);
  run(0, group, small_context);
  CHECK_BELOW(static_cast<double>(arena.capacity()), 1.5 * static_cast<double>(small_arena.capacity()));
}

TEST("one label without background words is refused, because its probability would always be 1") {
  Random random(6);
  const TestModel model = random_last_block(random, kSmall, 16);
  CHECK_ERROR(compute_cams(test_context(), model, random.normal(5 * kSmall.width), random.unit_rows(1, 16), {1}, {}),
              ErrorCode::kInvalidArg, "no background");
}

TEST("softmax_gradcam explains a label even when e^logit of all others underflows in double") {
  Random random(8);
  TestModel model = random_last_block(random, kSmall, 16);
  const std::vector<float> x = random.normal(20 * kSmall.width), rows = random.unit_rows(2, 16), rest = random.unit_rows(3, 16);
  model.fast.logit_scale = 1e5f;
  const CamResult got = compute_cams(test_context(), model, x, rows, {1, 1}, rest);
  for (const float value : got.cams) CHECK(value >= 0 && value <= 1);
  for (const float value : got.probabilities) CHECK(value == 0 || value == 1);
  for (const auto first : {got.cams.begin(), got.cams.begin() + 19}) CHECK(*std::max_element(first, first + 19) > 0.99f);
}

TEST("two labels with the same words get finite CAMs, not NaN") {
  Random random(7);
  const TestModel model = random_last_block(random, kSmall, 16);
  const std::vector<float> row = random.unit_rows(1, 16);
  const CamResult got = compute_cams(test_context(), model, random.normal(10 * kSmall.width), joined(row, row), {1, 1}, {});
  for (const float value : got.cams) CHECK(value >= 0 && value <= 1);
  CHECK_BELOW(std::abs(got.probabilities[0] - 0.5), 1e-6);
}

}  // namespace clip_es::softmax_gradcam_test
