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

TEST("CUDA: layer norm with and without residual, gamma and beta, and bfloat16 equals its twin for widths 1 to 2052") {
  Random random;
  double worst = 0, worst_half = 0;
  for (const int64_t width : {1, 31, 32, 96, 771, 1024, 1028, 2048, 2052})
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

TEST("CUDA: the sum of two residuals without the class tokens, and its layer norm, equal their twin for images of 1 to 13 patches") {
  Random random;
  const int64_t width = 71;
  const std::vector<float> gamma = random.normal(width, 0.3f, 1), beta = random.normal(width);
  const GpuArray<float> g_gamma(gamma), g_beta(beta);
  cuda::AddPatches in{.photos = {}, .width = width, .gamma = g_gamma.data(), .beta = g_beta.data()};
  std::vector<GpuArray<float>> inputs, sums, normalised, outs, rstds;
  std::vector<Matrix> want;
  for (const int64_t patches : {1, 13, 6}) {
    const std::vector<float> a = random.normal((1 + patches) * width, 2), b = random.normal((1 + patches) * width, 1, 3);
    want.push_back(reference::without_first_row(reference::add(Matrix(1 + patches, width, a), Matrix(1 + patches, width, b))));
    const float *const g_a = inputs.emplace_back(a).data(), *const g_b = inputs.emplace_back(b).data();
    in.photos.add({g_a, g_b, patches, sums.emplace_back(patches * width).data(), normalised.emplace_back(patches * width).data(),
                   outs.emplace_back(patches * width).data(), rstds.emplace_back(patches).data()});
  }
  in_every_order([&] { test_gpu()->add_patches(in); }, [&] { return normalised[1].host(); });
  for (size_t i = 0; i < want.size(); ++i) {
    const reference::NormalisedRows rows = reference::normalise_rows(want[i]);
    CHECK_BELOW(relative(sums[i].host(), want[i].values), 1e-6);
    CHECK_BELOW(relative(normalised[i].host(), rows.x_hat.values), 2e-5);
    CHECK_BELOW(relative(outs[i].host(), reference::layer_norm(want[i], {{gamma.begin(), gamma.end()}, {beta.begin(), beta.end()}}).values),
                2e-5);
    CHECK_BELOW(relative(rstds[i].host(), rows.rstd), 2e-5);
  }
}

namespace {

// A photo that is resized, with its memory on the GPU.
struct ResizeCase {
  std::vector<uint8_t> rgb;
  std::array<int64_t, 4> sizes;  // width, height, and those of the result
  std::vector<GpuArray<int32_t>> taps;
  GpuArray<uint8_t> in, rows, out;

  ResizeCase(const std::array<int64_t, 4>& photo_sizes, const std::vector<uint8_t>& image)
      : sizes(photo_sizes), in(image), rows(3 * sizes[2] * sizes[1]), out(3 * sizes[2] * sizes[3]) {
    const int64_t pixels = sizes[0] * sizes[1], channels = std::ssize(image) / pixels;
    for (int64_t i = 0; i < pixels; ++i)
      for (int64_t c = 0; c < 3; ++c) rgb.push_back(image[i * channels + (channels == 1 ? 0 : c)]);
  }
  cuda::ResizeTaps put_taps(int64_t from, int64_t to) {
    Arena arena;
    Arena::Scope scope(arena);
    const ops::ResizeWeights weights = ops::resize_weights(arena, from, to);
    const auto put = [&](std::span<const int32_t> values) { return taps.emplace_back(values).data(); };
    return {put(weights.first), put(weights.count), put(weights.weights), weights.taps};
  }
};

}  // namespace

TEST("CUDA: resized grey, RGB and RGBA photos have the twin's bytes, larger and smaller, from and to single pixels, in one launch") {
  Random random;
  std::vector<ResizeCase> cases;
  for (const auto& sizes :
       std::vector<std::array<int64_t, 4>>{{1, 1, 16, 32}, {37, 23, 48, 32}, {50, 41, 50, 48}, {33, 20, 16, 7}, {19, 5, 1, 1}})
    for (const int64_t channels : {1, 3, 4}) cases.emplace_back(sizes, random.bytes(sizes[0] * sizes[1] * channels));
  cuda::ResizeRows rows;
  cuda::ResizeColumns columns;
  for (ResizeCase& c : cases) {
    const auto [width, height, out_width, out_height] = c.sizes;
    const auto channels = static_cast<int64_t>(c.in.host().size()) / (width * height);
    rows.photos.add({c.in.data(), channels, width, height, out_width, c.put_taps(width, out_width), c.rows.data()});
    columns.photos.add({c.rows.data(), out_width, out_height, c.put_taps(height, out_height), c.out.data()});
  }
  test_gpu()->resize_rows(rows);
  test_gpu()->resize_columns(columns);
  for (const ResizeCase& c : cases) CHECK(c.out.host() == reference::resize_bicubic(c.rgb, c.sizes[0], c.sizes[1], c.sizes[2], c.sizes[3]));
}

TEST("CUDA: the patches of photos of different sizes equal their twin") {
  Random random;
  const std::vector<float> mean{0.1f, 0.2f, 0.3f}, deviation{0.4f, 0.5f, 0.6f};
  std::vector<float> value;
  for (size_t c = 0; c < 3; ++c)
    for (int byte = 0; byte < 256; ++byte) value.push_back((static_cast<float>(byte) / 255 - mean[c]) / deviation[c]);
  const GpuArray<float> g_value(value);
  for (const int64_t patch : {7, 16}) {
    cuda::ExtractPatches in{.photos = {}, .patch = patch, .pixel_values = g_value.data()};
    std::vector<GpuArray<uint8_t>> images;
    std::vector<GpuArray<float>> outs;
    std::vector<Matrix> want;
    for (const auto& [gh, gw] : std::vector<std::array<int64_t, 2>>{{1, 1}, {3, 5}, {2, 9}}) {
      const std::vector<uint8_t> image = random.bytes(gh * gw * patch * patch * 3);
      want.push_back(reference::extract_patches(image, gh, gw, patch, mean, deviation));
      in.photos.add({images.emplace_back(image).data(), gh, gw, outs.emplace_back(gh * gw * 3 * patch * patch).data()});
    }
    test_gpu()->extract_patches(in);
    for (size_t i = 0; i < want.size(); ++i) CHECK_BELOW(largest_difference(outs[i].host(), want[i].values), 1e-6);
  }
}

TEST("CUDA: the tokens of images of different sizes get the CPU's positions, class token first, and are normalised") {
  Random random;
  const int64_t width = 37;
  Model model{};
  model.image.width = width;
  model.shape.patch = 1;
  model.shape.resolution = 4;
  model.positional_embedding = random.normal(17 * width);
  model.class_embedding = random.normal(width);
  const GpuArray<float> g_class(model.class_embedding), g_positions(model.positional_embedding);
  const std::vector<float> gamma = random.normal(width, 0.3f, 1), beta = random.normal(width);
  const GpuArray<float> g_gamma(gamma), g_beta(beta);
  cuda::EmbedTokens in{.photos = {},
                       .width = width,
                       .trained_side = 4,
                       .class_embedding = g_class.data(),
                       .positions = g_positions.data(),
                       .gamma = g_gamma.data(),
                       .beta = g_beta.data()};
  std::vector<GpuArray<float>> inputs, outs;
  std::vector<std::vector<float>> want;
  for (const Grid grid : {Grid{1, 1}, Grid{3, 5}, Grid{2, 9}}) {
    const std::vector<float> embedded = random.normal(grid.patches() * width);
    std::vector<float>& x = want.emplace_back(grid.tokens() * width);
    Arena arena;
    resize_positions(arena, model, grid, x.data());
    for (size_t i = 0; i < x.size(); ++i) x[i] += i < width ? model.class_embedding[i] : embedded[i - width];
    in.photos.add({inputs.emplace_back(embedded).data(), outs.emplace_back(grid.tokens() * width).data(), grid.height, grid.width});
  }
  in_every_order([&] { test_gpu()->embed_tokens(in); }, [&] { return outs[1].host(); });
  for (size_t i = 0; i < want.size(); ++i) {
    const Matrix tokens(std::ssize(want[i]) / width, width, want[i]);
    const Matrix normalised = reference::layer_norm(tokens, {{gamma.begin(), gamma.end()}, {beta.begin(), beta.end()}});
    CHECK_BELOW(relative(outs[i].host(), normalised.values), 2e-5);
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

TEST("CUDA: the mean attention of images of 2 to 260 tokens equals its twin, from bfloat16 queries and keys") {
  Random random;
  const int64_t heads = 3, width = 64 * heads;
  std::vector<MeanAttentionCase> cases;
  std::vector<GpuArray<uint16_t>> inputs;
  std::vector<GpuArray<float>> logs, sums;
  cuda::AddBFloat16AttentionMean in{
      .photos = {}, .width = width, .heads = heads, .scale = 0.125f, .factor = 0.5f / static_cast<float>(heads), .is_first = false};
  for (const int64_t n : {2, 260, 17, 129, 130}) {  // tiles have 128 rows
    const MeanAttentionCase& c = cases.emplace_back(random, n, heads);
    std::vector<float> log_sum_exp;  // (n, heads): not the kernel's usual order, to test the strides
    for (int64_t i = 0; i < n; ++i)
      for (int64_t head = 0; head < heads; ++head) log_sum_exp.push_back(static_cast<float>(c.attention.log_sum_exp(head, i)));
    in.photos.add(
        {inputs.emplace_back(c.qkv).data(), {logs.emplace_back(log_sum_exp).data(), 1, heads}, n, sums.emplace_back(c.before).data()});
  }
  in_every_order(
      [&] {
        for (size_t i = 0; i < cases.size(); ++i) test_gpu()->copy_in(std::span<const float>(cases[i].before), sums[i].data());
        test_gpu()->add_bfloat16_attention_mean(in);
      },
      [&] { return sums[1].host(); });
  double worst = 0;
  for (size_t i = 0; i < cases.size(); ++i) worst = std::max(worst, largest_difference(sums[i].host(), cases[i].want));
  in.is_first = true;
  test_gpu()->add_bfloat16_attention_mean(in);
  for (size_t i = 0; i < cases.size(); ++i) {
    std::vector<double> want = cases[i].want;
    for (size_t j = 0; j < want.size(); ++j) want[j] -= cases[i].before[j];
    worst = std::max(worst, largest_difference(sums[i].host(), want));
  }
  check::note("largest difference " + std::to_string(worst));
  CHECK_BELOW(worst, 1e-6);
}
