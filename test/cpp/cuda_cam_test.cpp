// The kernels of GradCAM, CAA and the masks compared with their twins, at odd sizes and in every order of blocks and threads.
#include <array>
#include <cmath>
#include <numeric>

#include "cam/attention_affinity.h"
#include "check.h"
#include "cuda_support.h"
#include "mask/pseudo_mask.h"
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

std::vector<float> floats(const std::vector<uint8_t>& bytes) { return {bytes.begin(), bytes.end()}; }

}  // namespace

TEST("CUDA: the MLP's backward pass equals its twin, for both activations") {
  Random random;
  for (const Activation activation : {Activation::kQuickGelu, Activation::kGelu})
    for (const int64_t patches : {1, 7, 66}) {
      const int64_t width = 24, hidden = 97, classes = 3;
      const auto u = random.normal(patches * hidden), omega = random.normal(patches * hidden), rstd_2 = random.uniform(patches, 0.5f, 2),
                 rstd_post = random.uniform(patches, 0.5f, 2), h_hat_out = random.normal(patches * width),
                 z_hat_out = random.normal(patches * width), alpha = random.normal(classes * hidden), b = random.normal(classes * patches),
                 a_out = random.normal(classes * width), composite = random.normal(width * hidden), fc_gamma = random.normal(hidden),
                 fc_offset = random.normal(hidden), sums = random.normal(width);
      const Matrix want = reference::mlp_gradient(
          {patches, width, hidden, classes, activation, u.data(), omega.data(), rstd_2.data(), rstd_post.data(), h_hat_out.data(),
           z_hat_out.data(), alpha.data(), b.data(), a_out.data(), nullptr, fc_gamma.data(), fc_offset.data(), sums.data()},
          composite);
      const GpuArray<float> g_u(u), g_omega(omega), g_rstd_2(rstd_2), g_rstd_post(rstd_post), g_h(h_hat_out), g_z(z_hat_out),
          g_alpha(alpha), g_b(b), g_a(a_out), g_composite(composite), g_gamma(fc_gamma), g_offset(fc_offset), g_column_sums(sums),
          e(classes * patches * hidden), e_sums(classes * patches * 2), gradient(classes * patches * width);
      const auto run = [&] {
        test_gpu()->mlp_gradient_e({g_u.data(), g_omega.data(), g_alpha.data(), g_b.data(), g_rstd_post.data(), g_gamma.data(),
                                    g_offset.data(), patches, width, hidden, classes, activation == Activation::kGelu, e.data(),
                                    e_sums.data()});
        constexpr auto kType = torch::Dtype::kFloat32;
        const torch::Backend::Guard guard(test_gpu()->torch(), test_gpu()->stream());
        test_gpu()->torch().mm(torch::dense(e.data(), kType, classes * patches, hidden),
                               torch::transposed(torch::dense(g_composite.data(), kType, width, hidden)),
                               torch::dense(gradient.data(), kType, classes * patches, width));
        test_gpu()->mlp_gradient_finish({e_sums.data(), g_b.data(), g_rstd_2.data(), g_rstd_post.data(), g_h.data(), g_z.data(), g_a.data(),
                                         g_column_sums.data(), patches, width, classes, gradient.data()});
      };
      in_every_order(run, [&] { return gradient.host(); });
      CHECK_BELOW(relative(gradient.host(), want.values), 1e-5);
    }
}

TEST("CUDA: box masks equal their twin on empty, full, random, sparse, dense and winding maps from 1 x 1 to 31 x 24") {
  Random random;
  std::vector<std::vector<float>> maps;
  for (const auto& size : std::vector<std::array<int64_t, 2>>{{1, 1}, {1, 9}, {9, 1}, {2, 2}, {13, 17}, {31, 24}}) {
    const int64_t height = size[0], width = size[1];
    maps.clear();
    maps.emplace_back(static_cast<size_t>(height * width), 0.0f);
    maps.emplace_back(static_cast<size_t>(height * width), 1.0f);
    maps.push_back(random.uniform(height * width));
    for (int i = 0; i < 5; ++i) {
      maps.push_back(random.uniform(height * width));
      for (float& value : maps.back())
        value = value > 0.75f - 0.05f * static_cast<float>(i) ? 1.0f : 0.0f;  // from many small components to a few large ones
    }
    maps.emplace_back(static_cast<size_t>(height * width), 0.0f);
    for (int64_t y = 0; y < height; ++y)  // one long, winding component
      for (int64_t x = 0; x < width; ++x) maps.back()[y * width + x] = y % 2 == 0 || x == (y % 4 == 1 ? width - 1 : 0) ? 1.0f : 0.0f;
    const auto labels = static_cast<int64_t>(maps.size()), cells = height * width;
    std::vector<float> cams;
    for (const auto& map : maps) cams.insert(cams.end(), map.begin(), map.end());
    for (const double threshold : {0.4, 0.7, 0.99}) {
      std::vector<uint8_t> want;
      for (const auto& map : maps) {
        const auto box = reference::box_mask(map, height, width, threshold);
        want.insert(want.end(), box.begin(), box.end());
      }
      const GpuArray<float> g_cams(cams);
      const GpuArray<int32_t> scratch(6 * labels * cells);
      const GpuArray<uint8_t> boxes(labels * cells);
      in_every_order(
          [&, height = height, width = width] {
            test_gpu()->box_mask({g_cams.data(), labels, height, width, threshold, scratch.data(), boxes.data()});
          },
          [&] { return floats(boxes.host()); });
      CHECK(boxes.host() == want);
    }
  }
}

TEST("CUDA: Sinkhorn and the affinity product equal their twin for 1 to 131 patches and 1, 3 and 20 labels") {
  Random random;
  for (const int64_t n : {1, 8, 33, 131})
    for (const int64_t labels : {1, 3, 20}) {
      const std::vector<float> w = random.uniform(n * n, 0.01f, 1), cams = random.uniform(labels * n);
      const std::vector<uint8_t> boxes = random.bytes(labels * n, 2);
      const Matrix want = reference::refine_cams(Matrix(n, n, w), Matrix(labels, n, cams), Matrix(labels, n, floats(boxes)), 3);
      const GpuArray<float> g_w(w), g_cams(cams), r(n), c(n), first_product(labels * n), refined(labels * n);
      const GpuArray<uint8_t> g_boxes(boxes);
      const auto run = [&] {
        for (int round = 0; round < 3; ++round) {
          test_gpu()->sinkhorn_columns({g_w.data(), n, round > 0 ? r.data() : nullptr, c.data()});
          test_gpu()->sinkhorn_rows({g_w.data(), n, c.data(), r.data()});
        }
        test_gpu()->apply_affinity({g_w.data(), r.data(), c.data(), n, labels, g_cams.data(), g_boxes.data(), first_product.data()});
        test_gpu()->apply_affinity({g_w.data(), r.data(), c.data(), n, labels, first_product.data(), nullptr, refined.data()});
      };
      in_every_order(run, [&] { return refined.host(); });
      CHECK_BELOW(relative(refined.host(), want.values), 1e-5);
    }
}

TEST("CUDA: a patch that receives no attention gets the Sinkhorn factor 0") {
  const std::vector<float> w{0, 0, 0, 1};
  const GpuArray<float> g_w(w), factor(2);
  test_gpu()->sinkhorn_columns({g_w.data(), 2, nullptr, factor.data()});
  CHECK(factor.host() == (std::vector<float>{0, 1}));
  const GpuArray<float> ones(std::vector<float>{1, 1});
  test_gpu()->sinkhorn_rows({g_w.data(), 2, ones.data(), factor.data()});
  CHECK(factor.host() == (std::vector<float>{0, 1}));
}

TEST("CUDA: masks of 1, 3 and 254 labels equal the CPU's at odd sizes, for several backgroundPower and ignoreBelow") {
  Random random;
  for (const int64_t labels : {1, 3, 254})
    for (const Grid grid : {Grid{1, 1}, Grid{1, 7}, Grid{4, 5}})
      for (const MaskSettings settings : {MaskSettings{1, 0}, MaskSettings{0.5f, 0.6f}, MaskSettings{3, 0.45f}}) {
        const int64_t width = 61, height = 37, pixels = width * height;
        const std::vector<float> maps = random.normal(labels * grid.patches());
        std::vector<uint8_t> value(static_cast<size_t>(labels)), want_mask(static_cast<size_t>(pixels));
        std::iota(value.begin(), value.end(), uint8_t{1});
        std::vector<float> normalised = maps, want_confidence(want_mask.size()), want_maps(want_mask.size() * value.size());
        make_pseudo_mask(test_context(), maps_of(normalised, grid), value, {width, height}, settings,
                         {want_mask.data(), want_confidence.data(), want_maps.data()});
        const GpuArray<float> g_maps(maps), confidence(pixels), enlarged(labels * pixels), background(pixels);
        const GpuArray<uint8_t> g_value(value), mask(pixels);
        test_gpu()->min_max({g_maps.data(), labels, grid.patches()});
        CHECK_BELOW(largest_difference(g_maps.host(), normalised), 1e-6);
        test_gpu()->pseudo_mask({g_maps.data(), g_value.data(), labels, grid.height, grid.width, width, height, settings.background_power,
                                 settings.ignore_below, kIgnored, mask.data(), confidence.data(), enlarged.data(), background.data()});
        CHECK_BELOW(largest_difference(confidence.host(), want_confidence), 1e-6);
        CHECK_BELOW(largest_difference(enlarged.host(), want_maps), 1e-6);
        const std::vector<uint8_t> got = mask.host();
        int differing = 0;
        for (size_t i = 0; i < got.size(); ++i) differing += got[i] != want_mask[i];
        CHECK(differing <= pixels / 1000);  // two scores may be equal up to rounding
        std::vector<float> scores(static_cast<size_t>((labels + 1) * pixels));
        normalised = maps;
        score_pixels(test_context(), maps_of(normalised, grid), {width, height}, settings, scores.data());
        scores.resize(pixels);
        CHECK_BELOW(largest_difference(background.host(), scores), 1e-5);
      }
}
