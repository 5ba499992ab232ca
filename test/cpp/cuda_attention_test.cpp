// The float32 kernels of attention and of its backward pass compared with their twins, for images of different sizes in one launch and in
// every order of blocks and threads.
#include <array>
#include <cmath>

#include "check.h"
#include "cuda_support.h"
#include "support.h"

using namespace clip_es;
using check::largest_difference;
using reference::Matrix;

namespace {

double relative(const std::vector<float>& got, const std::vector<double>& want) {
  double largest = 1e-30;
  for (const double value : want) largest = std::max(largest, std::abs(value));
  return largest_difference(got, want) / largest;
}

struct Shape {
  int64_t heads, size;
  int64_t width() const { return heads * size; }
  float scale() const { return 1 / std::sqrt(static_cast<float>(size)); }
};
constexpr std::array kShapes = {Shape{3, 16}, Shape{2, 64}, Shape{1, 80}, Shape{1, 128}};

// An image's queries, keys and values, and its attention by the twin.
struct AttentionCase {
  int64_t n;
  Matrix qkv;
  reference::Attention attention;
  GpuArray<float> g_qkv;

  AttentionCase(Random& random, int64_t tokens, const Shape& shape)
      : AttentionCase(tokens, shape, random.normal(tokens * 3 * shape.width(), 2)) {}

  int64_t patches() const { return n - 1; }

 private:
  AttentionCase(int64_t tokens, const Shape& shape, const std::vector<float>& values)
      : n(tokens), qkv(tokens, 3 * shape.width(), values), attention(reference::attention(qkv, shape.heads, false)), g_qkv(values) {}
};

std::vector<float> floats(const Matrix& m) { return {m.values.begin(), m.values.end()}; }

}  // namespace

TEST("CUDA: attention and the mean attention in float32 equal their twins for 2 to 131 tokens and heads of 16 to 128 channels") {
  Random random;
  double worst = 0, worst_mean = 0;
  for (const Shape& shape : kShapes) {
    cuda::Attention in{.photos = {}, .width = shape.width(), .heads = shape.heads, .scale = shape.scale()};
    cuda::AddAttentionMean mean_in{.photos = {},
                                   .width = shape.width(),
                                   .heads = shape.heads,
                                   .scale = shape.scale(),
                                   .factor = 0.5f / static_cast<float>(shape.heads)};
    std::vector<AttentionCase> images;
    std::vector<GpuArray<float>> outs, logs, means;
    for (const int64_t n : {2, 131, 17, 65}) {
      const AttentionCase& image = images.emplace_back(random, n, shape);
      const GpuArray<float>&out = outs.emplace_back(n * shape.width()), &log = logs.emplace_back(shape.heads * n),
            &mean = means.emplace_back(image.patches() * image.patches());
      in.photos.add({image.g_qkv.data(), n, out.data(), log.data()});
      mean_in.photos.add({image.g_qkv.data(), log.data(), n, mean.data()});
    }
    in_every_order(
        [&] {
          for (const GpuArray<float>& mean : means) test_gpu()->clear(mean.data(), std::ssize(mean.host()));
          test_gpu()->attention(in);
          test_gpu()->add_attention_mean(mean_in);
          test_gpu()->add_attention_mean(mean_in);  // adds to the first
        },
        [&] { return means[1].host(); });
    for (size_t i = 0; i < images.size(); ++i) {
      const Matrix mean = reference::mean_over_heads(images[i].attention);
      std::vector<double> want;
      for (int64_t row = 1; row < mean.rows; ++row)
        for (int64_t column = 1; column < mean.columns; ++column) want.push_back(mean(row, column));
      worst = std::max({worst, relative(outs[i].host(), images[i].attention.out.values),
                        relative(logs[i].host(), images[i].attention.log_sum_exp.values)});
      worst_mean = std::max(worst_mean, largest_difference(means[i].host(), want));
    }
  }
  check::note("largest difference " + std::to_string(worst) + ", of the mean " + std::to_string(worst_mean));
  CHECK_BELOW(worst, 1e-5);
  CHECK_BELOW(worst_mean, 1e-5);
}

TEST("CUDA: attention refuses heads of more than 128 channels") {
  const cuda::Attention in{.photos = {}, .width = 129, .heads = 1, .scale = 1};
  CHECK_ERROR(test_gpu()->attention(in), ErrorCode::kDeviceUnavailable, "attention");
}

namespace {

// The gradient of an image's attention output for several rows of texts, and what the kernels shall make of it.
struct GradientCase {
  AttentionCase image;
  int64_t rows;
  std::vector<float> out_gradient, delta, sums;  // (rows, patches, width), (rows, heads, patches), (rows, 3 width)
  GpuArray<float> log_sum_exp;

  GradientCase(Random& random, int64_t n, int64_t row_count, const Shape& shape)
      : image(random, n, shape),
        rows(row_count),
        out_gradient(random.normal(rows * image.patches() * shape.width())),
        log_sum_exp(floats(image.attention.log_sum_exp)) {
    const int64_t width = shape.width(), patches = image.patches();
    for (int64_t row = 0; row < rows; ++row) {
      Matrix gradient(n, width);
      for (int64_t i = 0; i < patches * width; ++i) gradient.values[width + i] = out_gradient[row * patches * width + i];
      for (int64_t head = 0; head < shape.heads; ++head)
        for (int64_t token = 1; token < n; ++token) {
          double sum = 0;
          for (int64_t c = head * shape.size; c < (head + 1) * shape.size; ++c) sum += gradient(token, c) * image.attention.out(token, c);
          delta.push_back(static_cast<float>(sum));
        }
      const std::vector<double> want = reference::sum_over_patches(reference::attention_gradient(image.qkv, shape.heads, gradient));
      sums.insert(sums.end(), want.begin(), want.end());
    }
  }
};

void append(std::vector<float>& to, const std::vector<float>& values) { to.insert(to.end(), values.begin(), values.end()); }

}  // namespace

TEST("CUDA: the sums over patches of attention's gradients equal their twin for images of 2 to 131 tokens with 1 to 9 rows of texts") {
  Random random;
  double worst = 0;
  for (const Shape& shape : kShapes) {
    const int64_t width = shape.width(), heads = shape.heads;
    std::vector<GradientCase> cases;
    for (const auto& [n, rows] : std::vector<std::array<int64_t, 2>>{{2, 3}, {131, 1}, {66, 9}, {65, 4}})
      cases.emplace_back(random, n, rows, shape);
    cuda::GradCamParts parts;
    std::vector<float> out_gradient, delta;
    std::vector<double> want;
    int64_t rows = 0, patches = 0;
    for (const GradientCase& c : cases) {
      parts.add({.qkv = c.image.g_qkv.data(),
                 .log_sum_exp = c.log_sum_exp.data(),
                 .patches = c.image.patches(),
                 .rows = c.rows,
                 .first_row = rows,
                 .first_patch = patches});
      append(out_gradient, c.out_gradient);
      append(delta, c.delta);
      want.insert(want.end(), c.sums.begin(), c.sums.end());
      rows += c.rows;
      patches += c.rows * c.image.patches();
    }
    const GpuArray<float> g_gradient(out_gradient), g_delta(delta), weights(heads * (patches + rows)), sums(rows * 3 * width);
    in_every_order(
        [&] {
          test_gpu()->query_weights({parts, g_gradient.data(), g_delta.data(), width, heads, shape.scale(), weights.data()});
          test_gpu()->qkv_gradient_sums(
              {parts, g_gradient.data(), g_delta.data(), weights.data(), width, heads, shape.scale(), sums.data()});
        },
        [&] { return sums.host(); });
    worst = std::max(worst, relative(sums.host(), want));
  }
  check::note("largest difference " + std::to_string(worst));
  CHECK_BELOW(worst, 2e-5);
}

TEST("CUDA: the maps of patches equal the product of the activations and the channels' weights") {
  Random random;
  const int64_t width = 71;
  cuda::GradCamParts parts;
  std::vector<GpuArray<float>> activations;
  std::vector<float> channels;
  std::vector<double> want;
  int64_t rows = 0;
  for (const auto& [n, row_count] : std::vector<std::array<int64_t, 2>>{{2, 3}, {20, 1}, {9, 2}}) {
    const std::vector<float> y = random.normal(n * width), weights = random.normal(row_count * width);
    parts.add(
        {.y = activations.emplace_back(y).data(), .patches = n - 1, .rows = row_count, .first_row = rows, .first_patch = std::ssize(want)});
    append(channels, weights);
    const Matrix cams =
        reference::matmul(Matrix(row_count, width, weights), reference::transposed(reference::without_first_row(Matrix(n, width, y))));
    want.insert(want.end(), cams.values.begin(), cams.values.end());
    rows += row_count;
  }
  const GpuArray<float> g_channels(channels), cams(std::ssize(want));
  in_every_order([&] { test_gpu()->patch_cams({parts, g_channels.data(), width, cams.data()}); }, [&] { return cams.host(); });
  CHECK_BELOW(relative(cams.host(), want), 1e-5);
}
