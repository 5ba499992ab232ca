// Computes blocks of patches. For each patch, the rows of e (F) of all classes are computed and packed while they are in the cache. So the
// data that the classes share are read once, and act'(u) rstd_post is computed once for all classes.
#include <algorithm>

#include "ops/cpu/kernels.h"
#include "ops/gradcam.h"

namespace clip_es::ops {
namespace {

constexpr int64_t kRows = 11 * kMaxTileRows;  // rows of e in one product: many, because each product reads all of `composite`

MlpGradientRow row_of(const MlpGradient& in, int64_t patch, int64_t k) {
  return {in.width,
          in.hidden,
          in.u + patch * in.hidden,
          in.omega + patch * in.hidden,
          in.alpha + k * in.hidden,
          in.fc_gamma,
          in.fc_offset,
          in.a_out + k * in.width,
          in.z_hat_out + patch * in.width,
          in.h_hat_out + patch * in.width,
          in.out_proj_column_sums,
          in.b[k * in.patches + patch],
          in.rstd_2[patch],
          in.rstd_post[patch]};
}

}  // namespace

void mlp_gradient(HostContext& context, const MlpGradient& in, float* out_gradient) {
  const Kernels& kernel = kernels();
  const int64_t workers = context.pool.size(), classes = in.classes;
  const int64_t size = std::clamp<int64_t>((in.patches + workers - 1) / workers, 1, std::max<int64_t>(kRows / classes, 1));
  const int64_t blocks = (in.patches + size - 1) / size, rows = size * classes, bytes = packed_matmul_scratch(*in.composite, rows);
  Arena::Scope scope(context.arena);
  const auto take = [&](int64_t count) { return context.arena.take<float>(workers * count); };
  const auto slopes = take(size * in.hidden), products = take(rows * in.width);
  const auto all_sums = context.arena.take<MlpGradientSums>(workers * rows);
  const auto scratch = context.arena.take<std::byte>(workers * bytes);
  context.pool.run(blocks, [&](int64_t block, int worker) {
    const int64_t first = block * size, count = std::min(size, in.patches - first);
    float *slope = slopes.data() + worker * size * in.hidden, *product = products.data() + worker * rows * in.width;
    MlpGradientSums* sums = all_sums.data() + worker * rows;
    activation_slope(in.activation, in.u + first * in.hidden, count * in.hidden, slope);
    for (int64_t r = 0; r < count; ++r) kernel.scale(slope + r * in.hidden, slope + r * in.hidden, in.hidden, in.rstd_post[first + r]);
    const auto e = [&](int64_t row, float* memory) {
      const int64_t r = row / classes;
      sums[row] = kernel.mlp_gradient_e(row_of(in, first + r, row % classes), slope + r * in.hidden, memory);
      return memory;
    };
    packed_matmul(*in.composite, e, count * classes, {}, scratch.data() + worker * bytes, product);
    for (int64_t row = 0; row < count * classes; ++row) {
      const int64_t patch = first + row / classes, k = row % classes;
      kernel.mlp_gradient_row(row_of(in, patch, k), sums[row], product + row * in.width,
                              out_gradient + (k * in.patches + patch) * in.width);
    }
  });
}

}  // namespace clip_es::ops
