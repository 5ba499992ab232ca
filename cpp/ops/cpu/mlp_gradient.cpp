// Patches in blocks: rows of e (F) are made, packed and forgotten in cache, patch by patch for all classes, so that what they share is read
// once; act'(u) rstd_post is made once for all classes.
#include <algorithm>

#include "ops/cpu/simd.h"
#include "ops/cpu/tile.h"
#include "ops/gradcam.h"

namespace clip_es::ops {
namespace {

constexpr int64_t kRows = 11 * kMostTileRows;  // of e to a product: many, as each reads all of `composite`

struct Sums {
  float gamma, u;
};

// e and its two dot products, in one pass.
CLIP_ES_MULTIVERSION Sums make_e(const MlpGradient& in, int64_t patch, int64_t k, const float* slope, float* e) {
  const float *alpha = in.alpha + k * in.hidden, *omega = in.omega + patch * in.hidden, *u = in.u + patch * in.hidden;
  const float *fc_gamma = in.fc_gamma, *fc_offset = in.fc_offset;
  const float b = in.b[k * in.patches + patch];
  float gamma_sum = 0, u_sum = 0;
#pragma omp simd reduction(+ : gamma_sum, u_sum)
  for (int64_t i = 0; i < in.hidden; ++i) {
    const float value = slope[i] * (alpha[i] - b * omega[i]);
    e[i] = value;
    gamma_sum += value * fc_gamma[i];
    u_sum += value * (u[i] - fc_offset[i]);
  }
  return {gamma_sum, u_sum / static_cast<float>(in.width)};
}

// product (D): composite e.
CLIP_ES_MULTIVERSION void finish_row(const MlpGradient& in, int64_t patch, int64_t k, Sums sums, const float* product, float* to) {
  const float *a_out = in.a_out + k * in.width, *h = in.h_hat_out + patch * in.width, *z = in.z_hat_out + patch * in.width;
  const float *columns = in.out_proj_column_sums, b = in.b[k * in.patches + patch];
  const float rstd_2 = in.rstd_2[patch], rstd_post = in.rstd_post[patch];
  for (int64_t c = 0; c < in.width; ++c)
    to[c] = rstd_post * (a_out[c] - b * z[c]) + rstd_2 * (product[c] - sums.gamma * columns[c] - sums.u * h[c]);
}

}  // namespace

void mlp_gradient(HostContext& context, const MlpGradient& in, float* out_gradient) {
  const int64_t workers = context.pool.size(), classes = in.classes;
  const int64_t size = std::clamp<int64_t>((in.patches + workers - 1) / workers, 1, std::max<int64_t>(kRows / classes, 1));
  const int64_t blocks = (in.patches + size - 1) / size, rows = size * classes, bytes = packed_matmul_scratch(*in.composite, rows);
  Arena::Scope scope(context.arena);
  const auto take = [&](int64_t count) { return context.arena.take<float>(static_cast<size_t>(workers * count)); };
  const auto slopes = take(size * in.hidden), products = take(rows * in.width);
  const auto all_sums = context.arena.take<Sums>(static_cast<size_t>(workers * rows));
  const auto scratch = context.arena.take<std::byte>(static_cast<size_t>(workers * bytes));
  context.pool.run(blocks, [&](int64_t block, int worker) {
    const int64_t first = block * size, count = std::min(size, in.patches - first);
    float *slope = slopes.data() + worker * size * in.hidden, *product = products.data() + worker * rows * in.width;
    Sums* sums = all_sums.data() + worker * rows;
    activation_slope(in.activation, in.u + first * in.hidden, count * in.hidden, slope);
    for (int64_t r = 0; r < count; ++r) scale(slope + r * in.hidden, slope + r * in.hidden, in.hidden, in.rstd_post[first + r]);
    const auto e = [&](int64_t row, float* memory) {
      const int64_t r = row / classes;
      sums[row] = make_e(in, first + r, row % classes, slope + r * in.hidden, memory);
      return memory;
    };
    packed_matmul(*in.composite, e, count * classes, {}, scratch.data() + worker * bytes, product);
    for (int64_t row = 0; row < count * classes; ++row) {
      const int64_t patch = first + row / classes, k = row % classes;
      finish_row(in, patch, k, sums[row], product + row * in.width, out_gradient + (k * in.patches + patch) * in.width);
    }
  });
}

}  // namespace clip_es::ops
