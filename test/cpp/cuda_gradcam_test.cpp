// The kernels of GradCAM's backward pass compared with their twins, for photos of different sizes with different numbers of texts in one
// launch, in float32 and bfloat16, and in every order of blocks and threads. Where a kernel has both types, its inputs are values that
// bfloat16 represents exactly.
#include "check.h"
#include "cuda_attention_cases.h"

namespace clip_es::cuda_gradcam_test {

using check::largest_difference;
using reference::Matrix;

namespace {

std::vector<float> rounded(const std::vector<float>& values) { return from_bfloat16(to_bfloat16(values)); }
GpuArray<uint16_t> in_bfloat16(const GpuArray<float>& values) { return GpuArray<uint16_t>(to_bfloat16(values.host())); }

std::vector<float> floats(const Matrix& m) { return {m.values.begin(), m.values.end()}; }

template <class T>
void append(std::vector<T>& to, const std::vector<T>& values) {
  to.insert(to.end(), values.begin(), values.end());
}

// A photo's last block and rows of texts with random values, and what the kernels of the MLP's backward pass shall make of them.
struct MlpCase {
  int64_t patches, rows;
  std::vector<float> z_hat, scaled_dz, alpha, a_out;  // (patches, width), (rows, width), (rows, hidden), (rows, width)
  GpuArray<float> u, omega, rstd_2, rstd_post, h_hat_out, z_hat_out, g_z_hat, attended;
  std::vector<double> want, delta;  // (rows, patches, width), (rows, heads, patches)

  MlpCase(Random& random, int64_t patch_count, int64_t row_count, int64_t width, int64_t hidden)
      : patches(patch_count),
        rows(row_count),
        z_hat(random.normal(patches * width)),
        scaled_dz(random.normal(rows * width)),
        alpha(random.normal(rows * hidden)),
        a_out(random.normal(rows * width)),
        u(rounded(random.normal(patches * hidden))),
        omega(rounded(random.normal(patches * hidden))),
        rstd_2(random.uniform(patches, 0.5f, 2)),
        rstd_post(random.uniform(patches, 0.5f, 2)),
        h_hat_out(rounded(random.normal(patches * width))),
        z_hat_out(rounded(random.normal(patches * width))),
        g_z_hat(z_hat),
        attended(rounded(random.normal((1 + patches) * width))) {}

  cuda::GradCamPart part(int64_t first_row, int64_t first_patch) const {
    return {.attended = attended.data(),
            .u = u.data(),
            .rstd_2 = rstd_2.data(),
            .rstd_post = rstd_post.data(),
            .omega = omega.data(),
            .z_hat = g_z_hat.data(),
            .h_hat_out = h_hat_out.data(),
            .z_hat_out = z_hat_out.data(),
            .patches = patches,
            .rows = rows,
            .first_row = first_row,
            .first_patch = first_patch};
  }

  // Sets `want` and `delta`.
  void compute(Activation activation, int64_t heads, const std::vector<float>& composite, const std::vector<float>& fc_gamma,
               const std::vector<float>& fc_offset, const std::vector<float>& sums) {
    const int64_t width = std::ssize(sums), hidden = std::ssize(fc_gamma), size = width / heads;
    const Matrix b = reference::matmul(Matrix(rows, width, scaled_dz), reference::transposed(Matrix(patches, width, z_hat)));
    const std::vector<float> b_values(b.values.begin(), b.values.end()), out = attended.host();
    const auto [h_u, h_omega, h_rstd_2, h_rstd_post, h_h, h_z] =
        std::array{u.host(), omega.host(), rstd_2.host(), rstd_post.host(), h_hat_out.host(), z_hat_out.host()};
    want = reference::mlp_gradient(
               {patches, width, hidden, rows, activation, h_u.data(), h_omega.data(), h_rstd_2.data(), h_rstd_post.data(), h_h.data(),
                h_z.data(), alpha.data(), b_values.data(), a_out.data(), nullptr, fc_gamma.data(), fc_offset.data(), sums.data()},
               composite)
               .values;
    for (int64_t row = 0; row < rows; ++row)
      for (int64_t head = 0; head < heads; ++head)
        for (int64_t patch = 0; patch < patches; ++patch) {
          double sum = 0;
          for (int64_t c = head * size; c < (head + 1) * size; ++c)
            sum += want[(row * patches + patch) * width + c] * out[(patch + 1) * width + c];
          delta.push_back(sum);
        }
  }
};

}  // namespace

// 97 hidden channels are read one by one, and 104 in groups of eight.
TEST("CUDA: the MLP's backward pass equals its twin for photos of 1 to 66 patches in one launch, for both activations") {
  Random random;
  for (const Activation activation : {Activation::kQuickGelu, Activation::kGelu})
    for (const int64_t hidden : {97, 104}) {
      const int64_t width = 24, heads = 3;
      const auto composite = random.normal(width * hidden), fc_gamma = random.normal(hidden), fc_offset = random.normal(hidden),
                 column_sums = random.normal(width);
      std::vector<MlpCase> cases;
      for (const auto& [patches, rows] : std::vector<std::array<int64_t, 2>>{{1, 2}, {66, 1}, {7, 3}})
        cases.emplace_back(random, patches, rows, width, hidden).compute(activation, heads, composite, fc_gamma, fc_offset, column_sums);
      cuda::GradCamParts parts;
      std::vector<float> scaled_dz, alpha, a_out;
      std::vector<double> want, want_delta;
      int64_t rows = 0, patches = 0;
      for (const MlpCase& c : cases) {
        parts.add(c.part(rows, patches));
        append(scaled_dz, c.scaled_dz);
        append(alpha, c.alpha);
        append(a_out, c.a_out);
        append(want, c.want);
        append(want_delta, c.delta);
        rows += c.rows;
        patches += c.rows * c.patches;
      }
      const GpuArray<float> g_scaled_dz(scaled_dz), g_alpha(alpha), g_a(a_out), g_composite(composite), g_gamma(fc_gamma),
          g_offset(fc_offset), g_column_sums(column_sums), b(patches), e(patches * hidden), e_sums(patches * 2), gradient(patches * width),
          delta(patches * heads);
      const auto run = [&] {
        test_gpu()->mlp_gradient_e({parts, g_scaled_dz.data(), g_alpha.data(), g_gamma.data(), g_offset.data(), width, hidden,
                                    activation == Activation::kGelu, b.data(), e.data(), e_sums.data()});
        constexpr auto kType = torch::Dtype::kFloat32;
        const torch::Backend::Guard guard(test_gpu()->torch(), test_gpu()->stream());
        test_gpu()->torch().mm(torch::dense(e.data(), kType, patches, hidden),
                               torch::transposed(torch::dense(g_composite.data(), kType, width, hidden)),
                               torch::dense(gradient.data(), kType, patches, width));
        test_gpu()->mlp_gradient_finish({parts, e_sums.data(), b.data(), g_a.data(), g_column_sums.data(), width, heads, gradient.data(),
                                         gradient.data(), delta.data()});
      };
      in_every_order(run, [&] { return gradient.host(); });
      CHECK_BELOW(relative(gradient.host(), want), 1e-5);
      CHECK_BELOW(relative(delta.host(), want_delta), 1e-5);
    }
}

TEST(
    "CUDA: the steps of the MLP's backward pass in bfloat16 give the rounded results of those in float32, and delta of the rounded "
    "gradient") {
  Random random;
  for (const int64_t hidden : {97, 104}) {
    const int64_t width = 128, heads = 2, size = width / heads, patches = 7, rows = 3, count = rows * patches;
    const MlpCase c(random, patches, rows, width, hidden);
    cuda::GradCamParts parts, half_parts;
    parts.add(c.part(0, 0));
    const GpuArray<uint16_t> attended = in_bfloat16(c.attended), u = in_bfloat16(c.u), omega = in_bfloat16(c.omega),
                             h_hat_out = in_bfloat16(c.h_hat_out), z_hat_out = in_bfloat16(c.z_hat_out), half_e(count * hidden),
                             half_gradient(count * width);
    cuda::GradCamPart& half_part = half_parts.add(c.part(0, 0));
    half_part.attended = attended.data();
    half_part.u = u.data();
    half_part.omega = omega.data();
    half_part.h_hat_out = h_hat_out.data();
    half_part.z_hat_out = z_hat_out.data();
    const GpuArray<float> scaled_dz(c.scaled_dz), alpha(c.alpha), a_out(c.a_out), gamma(random.normal(hidden)),
        offset(random.normal(hidden)), column_sums(random.normal(width)), product(random.normal(count * width)), b(count),
        e(count * hidden), sums(2 * count), half_b(count), half_sums(2 * count), gradient(count * width), delta(count * heads);
    cuda::MlpGradientE in_e{parts, scaled_dz.data(), alpha.data(), gamma.data(), offset.data(), width, hidden,
                            true,  b.data(),         e.data(),     sums.data()};
    test_gpu()->mlp_gradient_e(in_e);
    in_e = {half_parts, scaled_dz.data(), alpha.data(),  gamma.data(),     offset.data(), width, hidden,
            true,       half_b.data(),    half_e.data(), half_sums.data(), true};
    in_every_order([&] { test_gpu()->mlp_gradient_e(in_e); }, [&] { return from_bfloat16(half_e.host()); });
    const auto doubles = [](const std::vector<float>& values) { return std::vector<double>(values.begin(), values.end()); };
    CHECK_BELOW(relative(half_b.host(), doubles(b.host())), 1e-6);
    CHECK_BELOW(relative(half_sums.host(), doubles(sums.host())), 1e-6);
    CHECK_BELOW(error_beyond_rounding(half_e.host(), doubles(e.host())), 1e-6);

    cuda::MlpGradientFinish finish{parts, sums.data(), b.data(),       a_out.data(),    column_sums.data(),
                                   width, heads,       product.data(), gradient.data(), delta.data()};
    test_gpu()->mlp_gradient_finish(finish);
    finish.parts = half_parts;
    finish.gradient = half_gradient.data();
    finish.bfloat16 = true;
    in_every_order([&] { test_gpu()->mlp_gradient_finish(finish); }, [&] { return delta.host(); });
    CHECK_BELOW(error_beyond_rounding(half_gradient.host(), doubles(gradient.host())), 1e-6);
    const std::vector<float> out_gradient = from_bfloat16(half_gradient.host()), out = c.attended.host();
    std::vector<double> want;
    for (int64_t row = 0; row < rows; ++row)
      for (int64_t head = 0; head < heads; ++head)
        for (int64_t patch = 0; patch < patches; ++patch) {
          double sum = 0;
          for (int64_t i = head * size; i < (head + 1) * size; ++i)
            sum += static_cast<double>(out_gradient[(row * patches + patch) * width + i]) * out[(patch + 1) * width + i];
          want.push_back(sum);
        }
    CHECK_BELOW(relative(delta.host(), want), 1e-6);
  }
}

namespace {

// The gradient of an image's attention output for several rows of texts, and what the kernels shall make of it.
struct GradientCase {
  AttentionCase image;
  int64_t rows;
  std::vector<float> out_gradient, delta, sums;  // (rows, patches, width), (rows, heads, patches), (rows, 3 width)
  std::vector<double> weights;                   // (rows, heads, n)
  GpuArray<float> log_sum_exp;
  GpuArray<uint16_t> half_qkv;

  GradientCase(Random& random, int64_t n, int64_t row_count, const Shape& shape)
      : image(random, n, shape),
        rows(row_count),
        out_gradient(rounded(random.normal(rows * image.patches() * shape.width()))),
        log_sum_exp(floats(image.attention.log_sum_exp)),
        half_qkv(in_bfloat16(image.g_qkv)) {
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
      for (int64_t head = 0; head < shape.heads; ++head) add_weights(gradient, shape, head);
      const std::vector<double> want = reference::sum_over_patches(reference::attention_gradient(image.qkv, shape.heads, gradient));
      sums.insert(sums.end(), want.begin(), want.end());
    }
  }

 private:
  // The factors of the keys in the sum of dq, for the row of texts whose gradient of the output is (n, width).
  void add_weights(const Matrix& gradient, const Shape& shape, int64_t head) {
    const int64_t n = image.n, width = shape.width(), first = head * shape.size;
    const auto dot = [&](int64_t token, const Matrix& m, int64_t row, int64_t column) {
      double sum = 0;
      for (int64_t c = 0; c < shape.size; ++c) sum += gradient(token, first + c) * m(row, column + c);
      return sum;
    };
    for (int64_t key = 0; key < n; ++key) {
      double sum = 0;
      for (int64_t token = 1; token < n; ++token)
        sum += image.attention.probabilities[head](token, key) *
               (dot(token, image.qkv, key, 2 * width + first) - dot(token, image.attention.out, token, first));
      weights.push_back(shape.scale() * sum);
    }
  }
};

}  // namespace

TEST(
    "CUDA: the keys' factors and the sums over patches of attention's gradients equal their twin for images of 2 to 131 tokens with 1 to 9 "
    "rows of texts, in float32 and bfloat16") {
  Random random;
  double worst = 0, worst_half = 0;
  for (const Shape& shape : kShapes) {
    const int64_t width = shape.width(), heads = shape.heads;
    std::vector<GradientCase> cases;
    for (const auto& [n, rows] : std::vector<std::array<int64_t, 2>>{{2, 3}, {131, 1}, {66, 9}, {65, 4}})
      cases.emplace_back(random, n, rows, shape);
    cuda::GradCamParts parts, half_parts;
    std::vector<float> out_gradient, delta;
    std::vector<double> want, want_weights;
    int64_t rows = 0, patches = 0;
    for (const GradientCase& c : cases) {
      const cuda::GradCamPart& part = parts.add({.qkv = c.image.g_qkv.data(),
                                                 .log_sum_exp = c.log_sum_exp.data(),
                                                 .patches = c.image.patches(),
                                                 .rows = c.rows,
                                                 .first_row = rows,
                                                 .first_patch = patches});
      half_parts.add(part).qkv = c.half_qkv.data();
      append(out_gradient, c.out_gradient);
      append(delta, c.delta);
      append(want_weights, c.weights);
      want.insert(want.end(), c.sums.begin(), c.sums.end());
      rows += c.rows;
      patches += c.rows * c.image.patches();
    }
    const GpuArray<float> g_gradient(out_gradient), g_delta(delta), weights(heads * (patches + rows)), sums(rows * 3 * width);
    const GpuArray<uint16_t> half_gradient(to_bfloat16(out_gradient)), half_sums(rows * 3 * width);
    const cuda::QueryWeights in{parts, g_gradient.data(), g_delta.data(), width, heads, shape.scale(), weights.data()};
    const cuda::BFloat16QueryWeights half_in{half_parts, half_gradient.data(), g_delta.data(), width, heads, shape.scale(), weights.data()};
    if (shape.size == 64) {
      in_every_order([&] { test_gpu()->bfloat16_query_weights(half_in); }, [&] { return weights.host(); });
      worst_half = std::max(worst_half, relative(weights.host(), want_weights));
    } else {
      CHECK_ERROR(test_gpu()->bfloat16_query_weights(half_in), ErrorCode::kDeviceUnavailable, "bfloat16_query_weights");
    }
    in_every_order(
        [&] {
          test_gpu()->query_weights(in);
          test_gpu()->qkv_gradient_sums(
              {parts, g_gradient.data(), g_delta.data(), weights.data(), width, heads, shape.scale(), sums.data()});
        },
        [&] { return sums.host(); });
    worst = std::max({worst, relative(weights.host(), want_weights), relative(sums.host(), want)});
    test_gpu()->qkv_gradient_sums(
        {half_parts, half_gradient.data(), g_delta.data(), weights.data(), width, heads, shape.scale(), half_sums.data(), true});
    worst_half = std::max(worst_half, error_beyond_rounding(half_sums.host(), want));
  }
  check::note("largest difference " + std::to_string(worst) + ", in bfloat16 " + std::to_string(worst_half));
  CHECK_BELOW(worst, 2e-5);
  CHECK_BELOW(worst_half, 2e-5);
}

TEST("CUDA: the maps of patches equal the product of the activations, in float32 and bfloat16, and the channels' weights") {
  Random random;
  const int64_t width = 71;
  cuda::GradCamParts parts, half_parts;
  std::vector<GpuArray<float>> activations;
  std::vector<GpuArray<uint16_t>> half_activations;
  std::vector<float> channels;
  std::vector<double> want;
  int64_t rows = 0;
  for (const auto& [n, row_count] : std::vector<std::array<int64_t, 2>>{{2, 3}, {20, 1}, {9, 2}}) {
    const std::vector<float> y = rounded(random.normal(n * width)), weights = random.normal(row_count * width);
    const cuda::GradCamPart& part = parts.add(
        {.y = activations.emplace_back(y).data(), .patches = n - 1, .rows = row_count, .first_row = rows, .first_patch = std::ssize(want)});
    half_parts.add(part).y = half_activations.emplace_back(to_bfloat16(y)).data();
    append(channels, weights);
    const Matrix cams =
        reference::matmul(Matrix(row_count, width, weights), reference::transposed(reference::without_first_row(Matrix(n, width, y))));
    want.insert(want.end(), cams.values.begin(), cams.values.end());
    rows += row_count;
  }
  const GpuArray<float> g_channels(channels), cams(std::ssize(want));
  for (const bool bfloat16 : {false, true}) {
    const cuda::PatchCams in{bfloat16 ? half_parts : parts, g_channels.data(), width, cams.data(), bfloat16};
    in_every_order([&] { test_gpu()->patch_cams(in); }, [&] { return cams.host(); });
    CHECK_BELOW(relative(cams.host(), want), 1e-5);
  }
}

}  // namespace clip_es::cuda_gradcam_test
