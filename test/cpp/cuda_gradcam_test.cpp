// The kernels of GradCAM's backward pass compared with their twins, for photos of different sizes with different numbers of texts in one
// launch, and in every order of blocks and threads.
#include "check.h"
#include "cuda_attention_cases.h"

using namespace clip_es;
using check::largest_difference;
using reference::Matrix;

namespace {

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
        u(random.normal(patches * hidden)),
        omega(random.normal(patches * hidden)),
        rstd_2(random.uniform(patches, 0.5f, 2)),
        rstd_post(random.uniform(patches, 0.5f, 2)),
        h_hat_out(random.normal(patches * width)),
        z_hat_out(random.normal(patches * width)),
        g_z_hat(z_hat),
        attended(random.normal((1 + patches) * width)) {}

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

TEST("CUDA: the MLP's backward pass equals its twin for photos of 1 to 66 patches in one launch, for both activations") {
  Random random;
  for (const Activation activation : {Activation::kQuickGelu, Activation::kGelu}) {
    const int64_t width = 24, hidden = 97, heads = 3;
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
      parts.add({.attended = c.attended.data(),
                 .u = c.u.data(),
                 .rstd_2 = c.rstd_2.data(),
                 .rstd_post = c.rstd_post.data(),
                 .omega = c.omega.data(),
                 .z_hat = c.g_z_hat.data(),
                 .h_hat_out = c.h_hat_out.data(),
                 .z_hat_out = c.z_hat_out.data(),
                 .patches = c.patches,
                 .rows = c.rows,
                 .first_row = rows,
                 .first_patch = patches});
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
      test_gpu()->mlp_gradient_finish(
          {parts, e_sums.data(), b.data(), g_a.data(), g_column_sums.data(), width, heads, gradient.data(), delta.data()});
    };
    in_every_order(run, [&] { return gradient.host(); });
    CHECK_BELOW(relative(gradient.host(), want), 1e-5);
    CHECK_BELOW(relative(delta.host(), want_delta), 1e-5);
  }
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
