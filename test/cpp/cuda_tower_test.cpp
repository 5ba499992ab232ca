// The kernels of the image tower compared with their twins, at odd sizes and in every order of blocks and threads.
#include <array>
#include <bit>
#include <cmath>

#include "check.h"
#include "clip/image_tower.h"
#include "cuda_support.h"
#include "ops/resize_weights.h"
#include "support.h"

using namespace clip_es;
using check::largest_difference;
using reference::Matrix;

namespace {

uint16_t to_bfloat16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
float from_bfloat16(uint16_t value) { return std::bit_cast<float>(static_cast<uint32_t>(value) << 16); }

std::vector<uint16_t> to_bfloat16(const std::vector<float>& values) {
  std::vector<uint16_t> out;
  for (const float value : values) out.push_back(to_bfloat16(value));
  return out;
}
std::vector<float> from_bfloat16(const std::vector<uint16_t>& values) {
  std::vector<float> out;
  for (const uint16_t value : values) out.push_back(from_bfloat16(value));
  return out;
}

// The largest difference, divided by the expected value where that is above 1.
double relative(const std::vector<float>& got, const std::vector<double>& want) {
  double worst = got.size() == want.size() ? 0 : INFINITY;
  for (size_t i = 0; i < got.size() && i < want.size(); ++i) {
    const double d = std::abs(got[i] - want[i]) / std::max(1.0, std::abs(want[i]));
    worst = d <= worst ? worst : (std::isnan(d) ? INFINITY : d);
  }
  return worst;
}

constexpr double kBFloat16Step = 1.0 / 256;  // rounding to 8 bits near 1: half a step for the input, half for the result

}  // namespace

TEST("CUDA: layer norm with and without residual, gamma and beta, and bfloat16 equals its twin for widths 1 to 771") {
  Random random;
  double worst = 0, worst_half = 0;
  for (const int64_t width : {1, 31, 32, 96, 771})
    for (const int64_t rows : {1, 3, 8, 13})
      for (const bool has_add : {false, true})
        for (const bool affine : {false, true}) {
          const std::vector<float> x = random.normal(rows * width, 2, 3), add = random.normal(rows * width),
                                   gamma = random.normal(width, 0.3f, 1), beta = random.normal(width);
          std::vector<float> sum = x;
          for (size_t i = 0; has_add && i < sum.size(); ++i) sum[i] += add[i];
          const reference::NormalisedRows normalised = reference::normalise_rows(Matrix(rows, width, sum));
          Matrix want = normalised.x_hat;
          for (int64_t i = 0; affine && i < rows * width; ++i) want.values[i] = want.values[i] * gamma[i % width] + beta[i % width];
          const GpuArray<float> g_add(add), g_gamma(gamma), g_beta(beta), y(rows * width), rstd(rows);
          const GpuArray<uint16_t> half(rows * width), half_add(to_bfloat16(add));
          std::unique_ptr<GpuArray<float>> stream;
          cuda::LayerNorm in{nullptr,
                             has_add ? g_add.data() : nullptr,
                             false,
                             rows,
                             width,
                             affine ? g_gamma.data() : nullptr,
                             affine ? g_beta.data() : nullptr,
                             y.data(),
                             false,
                             rstd.data()};
          const auto run = [&] {
            stream = std::make_unique<GpuArray<float>>(x);
            in.x = stream->data();
            test_gpu()->layer_norm(in);
          };
          in_every_order(run, [&] { return y.host(); });
          CHECK(stream->host() == sum);
          worst = std::max({worst, relative(y.host(), want.values), relative(rstd.host(), normalised.rstd)});
          in.y = half.data();
          in.y_bfloat16 = true;
          run();
          worst_half = std::max(worst_half, relative(from_bfloat16(half.host()), want.values));
          if (!has_add) continue;
          in.residual = half_add.data();
          in.residual_bfloat16 = true;
          in.y = nullptr;
          run();
          std::vector<float> rounded = x;
          for (size_t i = 0; i < rounded.size(); ++i) rounded[i] += from_bfloat16(to_bfloat16(add[i]));
          CHECK(stream->host() == rounded);
        }
  check::note("largest difference " + std::to_string(worst) + ", in bfloat16 " + std::to_string(worst_half));
  CHECK_BELOW(worst, 2e-5);
  CHECK_BELOW(worst_half, kBFloat16Step);
}

TEST("CUDA: GELU and quick GELU in float32 and, in place, in bfloat16 equal their twin for u from -30 to 30") {
  std::vector<float> u;
  for (int i = -3000; i <= 3001; ++i) u.push_back(static_cast<float>(i) / 100);
  for (const Activation kind : {Activation::kQuickGelu, Activation::kGelu}) {
    const auto count = static_cast<int64_t>(u.size());
    std::vector<double> want, want_half;
    for (const float value : u) {
      want.push_back(reference::activation(kind, value));
      want_half.push_back(reference::activation(kind, from_bfloat16(to_bfloat16(value))));
    }
    const GpuArray<float> in(u), out(count);
    test_gpu()->activate({in.data(), out.data(), false, kind == Activation::kGelu, count});
    CHECK_BELOW(relative(out.host(), want), 1e-6);
    const GpuArray<uint16_t> half(to_bfloat16(u));
    test_gpu()->activate({half.data(), half.data(), true, kind == Activation::kGelu, count});
    CHECK_BELOW(relative(from_bfloat16(half.host()), want_half), kBFloat16Step);
  }
}

TEST("CUDA: resized grey, RGB and RGBA photos have the twin's bytes, larger and smaller, from and to single pixels") {
  Random random;
  const std::vector<std::array<int64_t, 4>> sizes = {{1, 1, 16, 32}, {37, 23, 48, 32}, {50, 41, 50, 48}, {33, 20, 16, 7}, {19, 5, 1, 1}};
  for (const auto& [width, height, out_width, out_height] : sizes)
    for (const int64_t channels : {1, 3, 4}) {
      const std::vector<uint8_t> image = random.bytes(width * height * channels);
      std::vector<uint8_t> rgb;
      for (int64_t i = 0; i < width * height; ++i)
        for (int64_t c = 0; c < 3; ++c) rgb.push_back(image[i * channels + (channels == 1 ? 0 : c)]);
      Arena arena;
      Arena::Scope scope(arena);
      const auto put = [](const ops::ResizeWeights& w) {
        return std::array{GpuArray<int32_t>(std::span<const int32_t>(w.first)), GpuArray<int32_t>(std::span<const int32_t>(w.count)),
                          GpuArray<int32_t>(std::span<const int32_t>(w.weights))};
      };
      const ops::ResizeWeights horizontal = ops::resize_weights(arena, width, out_width),
                               vertical = ops::resize_weights(arena, height, out_height);
      const auto gpu_horizontal = put(horizontal), gpu_vertical = put(vertical);
      const GpuArray<uint8_t> in(image), rows(3 * out_width * height), out(3 * out_width * out_height);
      test_gpu()->resize_rows({in.data(),
                               channels,
                               width,
                               height,
                               out_width,
                               {gpu_horizontal[0].data(), gpu_horizontal[1].data(), gpu_horizontal[2].data(), horizontal.taps},
                               rows.data()});
      test_gpu()->resize_columns({rows.data(),
                                  out_width,
                                  out_height,
                                  {gpu_vertical[0].data(), gpu_vertical[1].data(), gpu_vertical[2].data(), vertical.taps},
                                  out.data()});
      CHECK(out.host() == reference::resize_bicubic(rgb, width, height, out_width, out_height));
    }
}

TEST("CUDA: patches equal their twin, and positions equal the CPU's, class token first") {
  Random random;
  for (const auto& [gh, gw, patch] : std::vector<std::array<int64_t, 3>>{{1, 1, 14}, {3, 5, 7}, {2, 9, 16}}) {
    const std::vector<uint8_t> image = random.bytes(gh * gw * patch * patch * 3);
    const std::vector<float> mean{0.1f, 0.2f, 0.3f}, deviation{0.4f, 0.5f, 0.6f};
    std::vector<float> value;
    for (size_t c = 0; c < 3; ++c)
      for (int byte = 0; byte < 256; ++byte) value.push_back((static_cast<float>(byte) / 255 - mean[c]) / deviation[c]);
    const GpuArray<uint8_t> in(image);
    const GpuArray<float> g_value(value), out(gh * gw * 3 * patch * patch);
    test_gpu()->extract_patches({in.data(), gh, gw, patch, g_value.data(), out.data()});
    CHECK_BELOW(largest_difference(out.host(), reference::extract_patches(image, gh, gw, patch, mean, deviation).values), 1e-6);

    Model model{};
    model.image.width = 37;
    model.shape.patch = patch;
    model.shape.resolution = 4 * patch;
    model.positional_embedding = random.normal(17 * 37);
    model.class_embedding = random.normal(37);
    const Grid grid{gh, gw};
    std::vector<float> want(static_cast<size_t>((grid.patches() + 1) * 37)), x = random.normal((grid.patches() + 1) * 37);
    Arena arena;
    resize_positions(arena, model, grid, want.data());
    for (size_t i = 0; i < want.size(); ++i) want[i] += i < 37 ? model.class_embedding[i] : x[i];
    // Two images: the second one has twice the embeddings of the first one.
    std::vector<float> embedded(x.begin() + 37, x.end());
    for (size_t i = 37; i < x.size(); ++i) embedded.push_back(2 * x[i]);
    const size_t count = want.size();
    for (size_t i = 0; i < count; ++i) want.push_back(want[i] + (i < 37 ? 0 : x[i]));
    const GpuArray<float> g_embedded(embedded), g_x(static_cast<int64_t>(want.size())), g_class(model.class_embedding),
        g_positions(model.positional_embedding);
    test_gpu()->add_positions({g_embedded.data(), g_x.data(), 2, gh, gw, 37, 4, g_class.data(), g_positions.data()});
    CHECK_BELOW(largest_difference(g_x.host(), want), 1e-6);
  }
}

TEST("CUDA: softmax and exponentials of 1 to 600 scores equal their twin, and log-sum-exp is stored at its strides") {
  Random random;
  for (const int64_t length : {1, 31, 257, 600}) {
    const int64_t heads = 3, rows = 5, first = 2, tokens = 9;
    const float scale = 0.125f;
    const std::vector<float> scores = random.normal(heads * rows * length, 200);
    std::vector<double> want, want_log(static_cast<size_t>(heads * tokens), -1);
    for (int64_t row = 0; row < heads * rows; ++row) {
      const std::vector<double> values(scores.begin() + row * length, scores.begin() + (row + 1) * length);
      const reference::Softmax softmax = reference::softmax(values, scale);
      want.insert(want.end(), softmax.probabilities.begin(), softmax.probabilities.end());
      want_log[row / rows * tokens + first + row % rows] = softmax.log_sum_exp;
    }
    std::unique_ptr<GpuArray<float>> in;
    const GpuArray<float> log_sum_exp(std::vector<float>(heads * tokens, -1.0f));
    in_every_order(
        [&] {
          in = std::make_unique<GpuArray<float>>(scores);
          test_gpu()->softmax({in->data(), heads, rows, length, first, scale, {log_sum_exp.data(), tokens, 1}});
        },
        [&] { return in->host(); });
    CHECK_BELOW(largest_difference(in->host(), want), 1e-5);
    CHECK_BELOW(relative(log_sum_exp.host(), want_log), 1e-6);
    in = std::make_unique<GpuArray<float>>(scores);
    test_gpu()->exponentials({in->data(), heads, rows, length, first, scale, {log_sum_exp.data(), tokens, 1}});
    CHECK_BELOW(largest_difference(in->host(), want), 1e-5);
  }
}

namespace {

// An image's queries, keys and values, and what the kernels of the mean attention shall make of them.
struct MeanAttentionCase {
  std::vector<uint16_t> qkv;
  reference::Attention attention;
  std::vector<float> before;  // the sum to which the kernels add
  std::vector<double> want;   // half of the mean is added

  MeanAttentionCase(Random& random, int64_t n, int64_t heads) : qkv(to_bfloat16(random.normal(n * 3 * 64 * heads))) {
    attention = reference::attention(Matrix(n, 3 * 64 * heads, from_bfloat16(qkv)), heads, false);
    before = random.uniform((n - 1) * (n - 1));
    const Matrix mean = reference::mean_over_heads(attention);
    for (int64_t i = 1; i < n; ++i)
      for (int64_t j = 1; j < n; ++j) want.push_back(before[want.size()] + 0.5 * mean(i, j));
  }
};

}  // namespace

TEST("CUDA: the mean attention equals its twin, from blocks of probabilities") {
  Random random;
  double worst = 0;
  for (const int64_t n : {2, 17, 65, 131}) {
    const int64_t heads = 3, rows_at_once = 7;
    const MeanAttentionCase c(random, n, heads);
    const GpuArray<float> sum(c.before);
    for (int64_t first = 0; first < n; first += rows_at_once) {
      const int64_t rows = std::min(rows_at_once, n - first);
      std::vector<float> block;
      for (int64_t head = 0; head < heads; ++head)
        for (int64_t i = first; i < first + rows; ++i)
          for (int64_t j = 0; j < n; ++j) block.push_back(static_cast<float>(c.attention.probabilities[head](i, j)));
      const GpuArray<float> probabilities(block);
      test_gpu()->add_head_mean({probabilities.data(), heads, rows, n, first, 0.5f / static_cast<float>(heads), sum.data()});
    }
    worst = std::max(worst, largest_difference(sum.host(), c.want));
  }
  check::note("largest difference " + std::to_string(worst));
  CHECK_BELOW(worst, 1e-6);
}

TEST("CUDA: the mean attention of one, two and three images equals its twin, from bfloat16 queries and keys") {
  Random random;
  double worst = 0;
  for (const auto& [n, images] : std::vector<std::array<int64_t, 2>>{{2, 1}, {17, 3}, {65, 1}, {66, 2}, {131, 1}}) {
    const int64_t heads = 3, width = 64 * heads;
    std::vector<uint16_t> qkv;
    std::vector<float> before, log_sum_exp;  // (images, n, heads): not the kernel's usual order, to test the strides
    std::vector<double> want;
    for (int64_t image = 0; image < images; ++image) {
      const MeanAttentionCase c(random, n, heads);
      qkv.insert(qkv.end(), c.qkv.begin(), c.qkv.end());
      before.insert(before.end(), c.before.begin(), c.before.end());
      want.insert(want.end(), c.want.begin(), c.want.end());
      for (int64_t i = 0; i < n; ++i)
        for (int64_t head = 0; head < heads; ++head) log_sum_exp.push_back(static_cast<float>(c.attention.log_sum_exp(head, i)));
    }
    const GpuArray<uint16_t> g_qkv(qkv);
    const GpuArray<float> lse(log_sum_exp);
    std::unique_ptr<GpuArray<float>> sum;
    in_every_order(
        [&, n = n, images = images] {
          sum = std::make_unique<GpuArray<float>>(before);
          test_gpu()->add_attention_mean({g_qkv.data(),
                                          images,
                                          n,
                                          width,
                                          heads,
                                          0.125f,
                                          0.5f / static_cast<float>(heads),
                                          {lse.data(), 1, heads},
                                          n * heads,
                                          sum->data()});
        },
        [&] { return sum->host(); });
    worst = std::max(worst, largest_difference(sum->host(), want));
  }
  check::note("largest difference " + std::to_string(worst));
  CHECK_BELOW(worst, 1e-6);
}
