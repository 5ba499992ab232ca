#include "work.h"

#include <algorithm>

#include "cam/attention_affinity.h"
#include "clip/image_tower.h"

using namespace clip_es;

namespace {

constexpr double kFloat = sizeof(float);

// One block with n tokens: two layer norms, each of which also adds the residual, four products, the attention and the activation.
// `size`: the bytes of one operand of a product. The residual stream is float32.
Work block_work(double n, double width, double size, double batch) {
  const double norms = 2 * (2 * kFloat + 2 * size), products = (1 + 3 + 1 + 1 + 1 + 4 + 4 + 1) * size, attention = (3 + 1) * size,
               activation = 2 * 4 * size;
  return {24 * n * width * width + 4 * n * n * width,
          n * width * (norms + products + attention + activation) + 12 * width * width * size / batch};
}

}  // namespace

StageWork count_work(const Model& model, Precision precision, const Grid& grid, int64_t labels, int64_t row_count, int64_t batch_size) {
  const auto n = static_cast<double>(grid.patches() + 1), N = n - 1, D = static_cast<double>(model.shape.width);
  const auto layers = static_cast<double>(model.shape.layers);
  const auto batch = static_cast<double>(batch_size), rows = static_cast<double>(row_count);
  const double size = precision == Precision::kFloat32 ? kFloat : kFloat / 2;
  const double values = static_cast<double>(3 * model.shape.patch * model.shape.patch);  // of one patch
  const double means = static_cast<double>(std::min(model.shape.layers, kAffinityBlocks));

  const Work block = block_work(n, D, size, batch);
  StageWork work{};
  work.encode = {layers * block.flops + 2 * N * D * values, layers * block.bytes};
  work.encode.bytes += kFloat * (N * (values + D) + D * values / batch + 2 * means * N * N);
  // The last block also stores what the gradients need: z_hat times W2 and W_o, and h_hat times W_o.
  work.encode.flops += 8 * N * D * D + 4 * N * D * D;
  work.encode.bytes += kFloat * N * D * ((1 + 4) + 2 * (1 + 1));

  // The attention scores are computed again, and stored nowhere. Each row needs the composite matrix and dO v^T.
  work.gradcam.flops = 2 * n * n * D + rows * (8 * N * D * D + 2 * n * n * D);
  // Of each row: e from z_hat, u and omega; the product with the composite matrix; dO from it, two products and the attention; its sums
  // with q, k and v; and the map from y.
  const double e = 1 + 4 + 4 + 4, composite = 4 + 1, gradient = 4 + 1, sums = 4 + 3, map = 1;
  work.gradcam.bytes = rows * kFloat * N * D * (e + composite + gradient + sums + map) + kFloat * (4 + 4 + 1 + 3) * D * D / batch;

  const double rounds = AffinitySettings{}.sinkhorn_rounds;
  work.caa.flops = 4 * N * N * rounds + static_cast<double>(labels) * 8 * N * N;
  work.caa.bytes = kFloat * N * N * (2 * rounds + 2 * 2);
  return work;
}
