// Before and after the product of e with the composite matrix, which is one for all classes.
#include "ops/cuda/activation.cuh"

namespace clip_es::cuda {
namespace {

constexpr int kThreads = 256;

// A block takes one patch of one class: e and both its dot products in one pass.
__global__ void mlp_gradient_e_kernel(MlpGradientE in) {
  const int64_t index = blockIdx.x, k = index / in.patches, patch = index % in.patches;
  const float *u = in.u + patch * in.hidden, *omega = in.omega + patch * in.hidden, *alpha = in.alpha + k * in.hidden;
  const float b = in.b[index], rstd_post = in.rstd_post[patch];
  float gamma_sum = 0, u_sum = 0;
  for (int64_t i = threadIdx.x; i < in.hidden; i += kThreads) {
    const float value = activation_slope(in.exact, u[i]) * rstd_post * (alpha[i] - b * omega[i]);
    in.e[index * in.hidden + i] = value;
    gamma_sum += value * in.fc_gamma[i];
    u_sum += value * (u[i] - in.fc_offset[i]);
  }
  gamma_sum = block_sum<kThreads>(gamma_sum);
  u_sum = block_sum<kThreads>(u_sum);
  if (threadIdx.x > 0) return;
  in.sums[2 * index] = gamma_sum;
  in.sums[2 * index + 1] = u_sum / static_cast<float>(in.width);
}

__global__ void mlp_gradient_finish_kernel(MlpGradientFinish in) {
  const int64_t index = global_thread();
  if (index >= in.classes * in.patches * in.width) return;
  const int64_t c = index % in.width, row = index / in.width, patch = row % in.patches, k = row / in.patches;
  const int64_t at = patch * in.width + c;
  const float through_norm = in.a_out[k * in.width + c] - in.b[row] * in.z_hat_out[at];
  const float through_mlp = in.gradient[index] - in.sums[2 * row] * in.out_proj_column_sums[c] - in.sums[2 * row + 1] * in.h_hat_out[at];
  in.gradient[index] = in.rstd_post[patch] * through_norm + in.rstd_2[patch] * through_mlp;
}

}  // namespace

int mlp_gradient_e(Stream stream, const MlpGradientE& in) {
  return launch(stream, mlp_gradient_e_kernel, static_cast<unsigned>(in.classes * in.patches), kThreads, in);
}

int mlp_gradient_finish(Stream stream, const MlpGradientFinish& in) {
  return launch(stream, mlp_gradient_finish_kernel, blocks_for(in.classes * in.patches * in.width, kThreads), kThreads, in);
}

}  // namespace clip_es::cuda
