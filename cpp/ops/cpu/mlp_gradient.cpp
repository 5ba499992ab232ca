// Patches in blocks: rows of e (F) are made, packed and forgotten in cache; act'(u) rstd_post is made once for all classes.
#include <algorithm>

#include "ops/cpu/simd.h"
#include "ops/gradcam.h"

namespace clip_es::ops {
namespace {

// Rows to a product: many, as each reads all of `composite`, but a block to every thread.
constexpr int64_t kSmallestBlock = 64, kLargestBlock = 132;

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

// to holds composite e on entry.
CLIP_ES_MULTIVERSION void finish_row(const MlpGradient& in, int64_t patch, int64_t k, Sums sums, float* to) {
  const float *a_out = in.a_out + k * in.width, *h = in.h_hat_out + patch * in.width, *z = in.z_hat_out + patch * in.width;
  const float *columns = in.out_proj_column_sums, b = in.b[k * in.patches + patch];
  const float rstd_2 = in.rstd_2[patch], rstd_post = in.rstd_post[patch];
  for (int64_t c = 0; c < in.width; ++c)
    to[c] = rstd_post * (a_out[c] - b * z[c]) + rstd_2 * (to[c] - sums.gamma * columns[c] - sums.u * h[c]);
}

}  // namespace

void mlp_gradient(Context& context, const MlpGradient& in, float* out_gradient) {
  const int64_t workers = context.pool.size();
  const int64_t size = std::clamp((in.patches + workers - 1) / workers, kSmallestBlock, kLargestBlock);
  const int64_t blocks = (in.patches + size - 1) / size, tile = size * in.hidden;
  Arena::Scope scope(context.arena);
  const auto slopes = context.arena.take<float>(static_cast<size_t>(workers * tile));
  const int64_t bytes = packed_matmul_scratch(*in.composite, size);
  const auto scratch = context.arena.take<std::byte>(static_cast<size_t>(workers * bytes));
  context.pool.run(blocks, [&](int64_t block, int worker) {
    const int64_t first = block * size, count = std::min(size, in.patches - first);
    float* slope = slopes.data() + worker * tile;
    activation_slope(in.activation, in.u + first * in.hidden, count * in.hidden, slope);
    for (int64_t r = 0; r < count; ++r)
      for (int64_t i = 0; i < in.hidden; ++i) slope[r * in.hidden + i] *= in.rstd_post[first + r];
    for (int64_t k = 0; k < in.classes; ++k) {
      Sums sums[kLargestBlock];
      const auto e = [&](int64_t r, float* memory) {
        sums[r] = make_e(in, first + r, k, slope + r * in.hidden, memory);
        return memory;
      };
      float* to = out_gradient + (k * in.patches + first) * in.width;
      packed_matmul(*in.composite, e, count, {}, scratch.data() + worker * bytes, to);
      for (int64_t r = 0; r < count; ++r) finish_row(in, first + r, k, sums[r], to + r * in.width);
    }
  });
}

}  // namespace clip_es::ops
