// The kernels of the image tower compared with their twins, at odd sizes and in every order of blocks and threads.
#include <array>
#include <cmath>

#include "check.h"
#include "clip/image_tower.h"
#include "core/float16.h"
#include "cuda_support.h"
#include "ops/resize_weights.h"
#include "support.h"

namespace clip_es::cuda_tower_test {

using check::largest_difference;
using reference::Matrix;

namespace {

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
          const GpuArray<uint16_t> half(rows * width), second(rows * width), half_add(to_bfloat16(add));
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
                             rstd.data(),
                             second.data()};
          const auto run = [&] {
            stream = std::make_unique<GpuArray<float>>(x);
            in.x = stream->data();
            test_gpu()->layer_norm(in);
          };
          in_every_order(run, [&] { return y.host(); });
          CHECK(stream->host() == sum);
          worst = std::max({worst, relative(y.host(), want.values), relative(rstd.host(), normalised.rstd)});
          CHECK(second.host() == to_bfloat16(y.host()));
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
          for (size_t i = 0; i < rounded.size(); ++i) rounded[i] += bfloat16_to_float(float_to_bfloat16(add[i]));
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
      want_half.push_back(reference::activation(kind, bfloat16_to_float(float_to_bfloat16(value))));
    }
    const GpuArray<float> in(u), out(count);
    test_gpu()->activate({in.data(), out.data(), false, kind == Activation::kGelu, count});
    CHECK_BELOW(relative(out.host(), want), 1e-6);
    const GpuArray<uint16_t> half(to_bfloat16(u));
    test_gpu()->activate({half.data(), half.data(), true, kind == Activation::kGelu, count});
    CHECK_BELOW(relative(from_bfloat16(half.host()), want_half), kBFloat16Step);
  }
}

TEST(
    "CUDA: the sum of two residuals without the class tokens, and its layer norm, equal their twin for images of 1 to 13 patches, in "
    "float32 "
    "and bfloat16") {
  Random random;
  const int64_t width = 71;
  const std::vector<float> gamma = random.normal(width, 0.3f, 1), beta = random.normal(width);
  const GpuArray<float> g_gamma(gamma), g_beta(beta);
  cuda::AddPatches in{.photos = {}, .width = width, .gamma = g_gamma.data(), .beta = g_beta.data()};
  cuda::AddPatches half_in = in;
  half_in.bfloat16 = true;
  std::vector<GpuArray<float>> inputs, sums, normalised, outs, rstds, half_sums;
  std::vector<GpuArray<uint16_t>> half_inputs, half_normalised, half_outs;
  std::vector<Matrix> want;
  for (const int64_t patches : {1, 13, 6}) {
    const std::vector<uint16_t> half = to_bfloat16(random.normal((1 + patches) * width, 2));
    const std::vector<float> a = from_bfloat16(half), b = random.normal((1 + patches) * width, 1, 3);
    want.push_back(reference::without_first_row(reference::add(Matrix(1 + patches, width, a), Matrix(1 + patches, width, b))));
    const int64_t count = patches * width;
    const float *const g_a = inputs.emplace_back(a).data(), *const g_b = inputs.emplace_back(b).data();
    float* const rstd = rstds.emplace_back(patches).data();
    in.photos.add(
        {g_a, g_b, patches, sums.emplace_back(count).data(), normalised.emplace_back(count).data(), outs.emplace_back(count).data(), rstd});
    half_in.photos.add({half_inputs.emplace_back(half).data(), g_b, patches, half_sums.emplace_back(count).data(),
                        half_normalised.emplace_back(count).data(), half_outs.emplace_back(count).data(), rstd});
  }
  in_every_order([&] { test_gpu()->add_patches(half_in); }, [&] { return from_bfloat16(half_outs[1].host()); });
  in_every_order([&] { test_gpu()->add_patches(in); }, [&] { return normalised[1].host(); });
  for (size_t i = 0; i < want.size(); ++i) {
    const reference::NormalisedRows rows = reference::normalise_rows(want[i]);
    const Matrix y = reference::layer_norm(want[i], {{gamma.begin(), gamma.end()}, {beta.begin(), beta.end()}});
    CHECK_BELOW(relative(sums[i].host(), want[i].values), 1e-6);
    CHECK(half_sums[i].host() == sums[i].host());
    CHECK_BELOW(relative(normalised[i].host(), rows.x_hat.values), 2e-5);
    CHECK_BELOW(error_beyond_rounding(half_normalised[i].host(), rows.x_hat.values), 2e-5);
    CHECK_BELOW(relative(outs[i].host(), y.values), 2e-5);
    CHECK_BELOW(error_beyond_rounding(half_outs[i].host(), y.values), 2e-5);
    CHECK_BELOW(relative(rstds[i].host(), rows.rstd), 2e-5);
  }
}

TEST("CUDA: conversions between float32 and bfloat16 equal their twins") {
  Random random;
  for (const int64_t count : {1, 255, 1003}) {
    const std::vector<float> values = random.normal(count, 100);
    const GpuArray<float> in(values), back(count);
    const GpuArray<uint16_t> half(count);
    test_gpu()->convert({in.data(), true, half.data(), count});
    test_gpu()->convert({half.data(), false, back.data(), count});
    CHECK(half.host() == to_bfloat16(values));
    CHECK(back.host() == from_bfloat16(half.host()));
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

TEST(
    "CUDA: the patches of photos of different sizes, whose columns are resized or not, equal their twins, in float32 and rounded to "
    "bfloat16") {
  Random random;
  const std::vector<float> mean{0.1f, 0.2f, 0.3f}, deviation{0.4f, 0.5f, 0.6f};
  std::vector<float> value;
  for (size_t c = 0; c < 3; ++c)
    for (int byte = 0; byte < 256; ++byte) value.push_back((static_cast<float>(byte) / 255 - mean[c]) / deviation[c]);
  const GpuArray<float> g_value(value);
  for (const int64_t patch : {7, 16}) {
    const int64_t size = 3 * patch * patch, row = (size + 7) / 8 * 8;
    cuda::ExtractPatches in{.photos = {}, .patch = patch, .row = row, .pixel_values = g_value.data()};
    std::vector<ResizeCase> cases;
    std::vector<GpuArray<float>> outs;
    std::vector<Matrix> want;
    for (const auto& [gh, gw, height] : std::vector<std::array<int64_t, 3>>{{1, 1, patch}, {3, 5, 3 * patch}, {2, 9, 5}, {3, 2, 100}}) {
      const int64_t width = gw * patch;
      ResizeCase& c = cases.emplace_back(std::array{width, height, width, gh * patch}, random.bytes(width * height * 3));
      const auto resized = reference::resize_bicubic(c.rgb, width, height, width, gh * patch);
      const Matrix patches = reference::extract_patches(resized, gh, gw, patch, mean, deviation);
      Matrix& rows = want.emplace_back(gh * gw, row);
      for (int64_t p = 0; p < gh * gw; ++p)
        for (int64_t i = 0; i < size; ++i) rows(p, i) = patches(p, i);
      float* const out = outs.emplace_back(gh * gw * row).data();
      in.photos.add({c.in.data(), gh, gw, c.put_taps(height, gh * patch), out});
    }
    test_gpu()->extract_patches(in);
    std::vector<GpuArray<uint16_t>> half_outs;
    for (size_t i = 0; i < want.size(); ++i) in.photos.photo[i].out = half_outs.emplace_back(std::ssize(want[i].values)).data();
    in.bfloat16 = true;
    test_gpu()->extract_patches(in);
    for (size_t i = 0; i < want.size(); ++i) {
      CHECK_BELOW(largest_difference(outs[i].host(), want[i].values), 1e-6);
      CHECK(half_outs[i].host() == to_bfloat16(outs[i].host()));
    }
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

}  // namespace clip_es::cuda_tower_test
