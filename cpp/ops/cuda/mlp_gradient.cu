// The backward pass of the last block's MLP, in two steps with one matrix product between them (by LibTorch, for all classes at once):
//   e = act'(u) * rstd_post * (alpha - b * omega)
//   gradient = e * composite^T
//   gradient = rstd_post * (a_out - b * z_hat_out) + rstd_2 * (gradient - sums[0] * out_proj_column_sums - sums[1] * h_hat_out)
// where sums[0] = sum(e * fc_gamma) and sums[1] = sum(e * (u - fc_offset)) / width. Twin: ops/cpu/mlp_gradient.cpp.
#include "ops/cuda/activation.cuh"

namespace clip_es::cuda {
namespace {

constexpr int kThreads = 256;

// One block per class and patch. Both sums are computed in the pass that writes e, so that e is not read again.
__global__ void __launch_bounds__(kThreads) mlp_gradient_e_kernel(MlpGradientE args) {
  const int64_t index = blockIdx.x, k = index / args.patches, patch = index % args.patches;
  const float *u = args.u + patch * args.hidden, *omega = args.omega + patch * args.hidden, *alpha = args.alpha + k * args.hidden;
  const float b = args.b[index], rstd_post = args.rstd_post[patch];
  float gamma_sum = 0, u_sum = 0;
  for (int64_t i = threadIdx.x; i < args.hidden; i += kThreads) {
    const float value = activation_derivative(args.exact_gelu, u[i]) * rstd_post * (alpha[i] - b * omega[i]);
    args.e[index * args.hidden + i] = value;
    gamma_sum += value * args.fc_gamma[i];
    u_sum += value * (u[i] - args.fc_offset[i]);
  }
  gamma_sum = block_sum<kThreads>(gamma_sum);
  u_sum = block_sum<kThreads>(u_sum);
  if (threadIdx.x > 0) return;
  args.sums[2 * index] = gamma_sum;
  args.sums[2 * index + 1] = u_sum / args.width;
}

// One thread per element.
__global__ void __launch_bounds__(kThreads) mlp_gradient_finish_kernel(MlpGradientFinish args) {
  const int64_t index = global_thread();
  if (index >= args.classes * args.patches * args.width) return;
  const int64_t c = index % args.width, row = index / args.width, patch = row % args.patches, k = row / args.patches;
  const int64_t at = patch * args.width + c;
  const float through_norm = args.a_out[k * args.width + c] - args.b[row] * args.z_hat_out[at];
  const float through_mlp =
      args.gradient[index] - args.sums[2 * row] * args.out_proj_column_sums[c] - args.sums[2 * row + 1] * args.h_hat_out[at];
  args.gradient[index] = args.rstd_post[patch] * through_norm + args.rstd_2[patch] * through_mlp;
}

}  // namespace

int mlp_gradient_e(Stream stream, const MlpGradientE& args) {
  return launch(stream, mlp_gradient_e_kernel, static_cast<unsigned>(args.classes * args.patches), kThreads, args);
}

int mlp_gradient_finish(Stream stream, const MlpGradientFinish& args) {
  return launch(stream, mlp_gradient_finish_kernel, blocks_for(args.classes * args.patches * args.width, kThreads), kThreads, args);
}

}  // namespace clip_es::cuda
