// layer_norm:   x += residual; y = (x - mean) * rstd * gamma + beta, with mean and rstd = 1 / sqrt(variance + 1e-5) of each row.
// add_patches:  sum = a + b without the class token's row; x_hat = (sum - mean) * rstd; y = x_hat * gamma + beta
// Twins: ops/cpu/layer_norm.cpp (layer_norm, normalise_rows). Adding the residual here saves one pass over x.
// One warp per row, so no barrier is needed and a row can have any width. The variance is computed in a second pass over the row, which is
// in the first-level cache by then: a single pass over the sums of squares would lose digits.
#include "ops/cuda/layer_norm.cuh"

namespace clip_es::cuda {
namespace {

constexpr int kRows = 4, kThreads = kRows * kWarp;  // rows (warps) and threads of a block

template <class Residual, class Out>
__global__ void __launch_bounds__(kThreads) layer_norm_kernel(LayerNorm args) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kRows + threadIdx.x / kWarp;
  if (row >= args.rows) return;
  const int lane = threadIdx.x % kWarp;
  float* x = args.x + row * args.width;
  const Residual* residual = args.residual ? static_cast<const Residual*>(args.residual) + row * args.width : nullptr;
  float sum = 0;
  for (int64_t c = lane; c < args.width; c += kWarp) {
    float value = x[c];
    if (residual) x[c] = value += to_float(residual[c]);
    sum += value;
  }
  if (!args.y) return;
  const auto [mean, rstd] = moments_of(x, sum, args.width);
  Out* y = static_cast<Out*>(args.y) + row * args.width;
  for (int64_t c = lane; c < args.width; c += kWarp) {
    const float x_hat = (x[c] - mean) * rstd;
    store(y + c, args.gamma ? x_hat * args.gamma[c] + args.beta[c] : x_hat);
  }
  if (args.rstd && lane == 0) args.rstd[row] = rstd;
}

__global__ void __launch_bounds__(kThreads) add_patches_kernel(const __grid_constant__ AddPatches args) {
  const AddPatchesPhoto& photo = args.photos.photo[blockIdx.z];
  const int64_t patch = static_cast<int64_t>(blockIdx.x) * kRows + threadIdx.x / kWarp;
  if (patch >= photo.patches) return;
  const int lane = threadIdx.x % kWarp;
  const float *a = photo.a + (patch + 1) * args.width, *b = photo.b + (patch + 1) * args.width;
  float *sums = photo.sum + patch * args.width, *x_hat = photo.x_hat + patch * args.width, *y = photo.y + patch * args.width;
  float sum = 0;
  for (int64_t c = lane; c < args.width; c += kWarp) sum += sums[c] = a[c] + b[c];
  const auto [mean, rstd] = moments_of(sums, sum, args.width);
  for (int64_t c = lane; c < args.width; c += kWarp) {
    const float value = (sums[c] - mean) * rstd;
    x_hat[c] = value;
    y[c] = value * args.gamma[c] + args.beta[c];
  }
  if (lane == 0) photo.rstd[patch] = rstd;
}

}  // namespace

int layer_norm(Stream stream, const LayerNorm& args) {
  auto* kernel = args.residual_bfloat16 ? (args.y_bfloat16 ? layer_norm_kernel<BFloat16, BFloat16> : layer_norm_kernel<BFloat16, float>)
                                        : (args.y_bfloat16 ? layer_norm_kernel<float, BFloat16> : layer_norm_kernel<float, float>);
  return launch(stream, kernel, blocks_for(args.rows, kRows), kThreads, args);
}

int add_patches(Stream stream, const AddPatches& args) {
  const unsigned blocks = most_blocks(args.photos, [](const auto& photo) { return blocks_for(photo.patches, kRows); });
  return launch(stream, add_patches_kernel, {blocks, 1, depth_of(args.photos)}, kThreads, args);
}

}  // namespace clip_es::cuda
