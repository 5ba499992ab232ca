// The backward pass of the last block's MLP, in two steps with one matrix product between them (by LibTorch, for all rows of texts at
// once):
//   b = scaled_dz . z_hat
//   e = act'(u) * rstd_post * (alpha - b * omega)
//   product = e * composite^T
//   gradient = rstd_post * (a_out - b * z_hat_out) + rstd_2 * (product - sums[0] * out_proj_column_sums - sums[1] * h_hat_out)
//   delta = gradient . attended, per head
// where sums[0] = sum(e * fc_gamma) and sums[1] = sum(e * (u - fc_offset)) / width. Twin: ops/cpu/mlp_gradient.cpp.
// blockIdx.z is the part, and blockIdx.y one of its rows of texts.
#include "ops/cuda/activation.cuh"

namespace clip_es::cuda {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / kWarp;

// T, here and below: the type of the parts' matrices, e and gradient.
// One block per row and patch. All sums are computed in the pass that writes e, so that e is not read again. A thread loads and stores
// kCount channels at once, which divides `hidden`.
template <class T, int kCount>
__global__ void __launch_bounds__(kThreads) mlp_gradient_e_kernel(const __grid_constant__ MlpGradientE args) {
  const GradCamPart& part = args.parts.photo[blockIdx.z];
  const int patch = static_cast<int>(blockIdx.x), width = static_cast<int>(args.width), hidden = static_cast<int>(args.hidden);
  if (patch >= part.patches || blockIdx.y >= part.rows) return;
  const int64_t row = part.first_row + blockIdx.y, index = part.first_patch + blockIdx.y * part.patches + patch;
  const float *scaled_dz = args.scaled_dz + row * width, *z_hat = part.z_hat + static_cast<int64_t>(patch) * width;
  float b = 0;
  for (int c = threadIdx.x; c < width; c += kThreads) b += scaled_dz[c] * z_hat[c];
  b = block_sum<kThreads>(b);

  const T* all_u = static_cast<const T*>(part.u) + static_cast<int64_t>(patch) * hidden;
  const T* omega = static_cast<const T*>(part.omega) + static_cast<int64_t>(patch) * hidden;
  const float *alpha = args.alpha + row * hidden, rstd_post = part.rstd_post[patch];
  T* e = static_cast<T*>(args.e) + index * hidden;
  float gamma_sum = 0, u_sum = 0;
  for (int i = kCount * static_cast<int>(threadIdx.x); i < hidden; i += kCount * kThreads) {
    const Elements<T, kCount> some_u = load_elements<kCount>(all_u + i), some_omega = load_elements<kCount>(omega + i);
    const Elements<float, kCount> some_alpha = load_elements<kCount>(alpha + i), gamma = load_elements<kCount>(args.fc_gamma + i),
                                  offset = load_elements<kCount>(args.fc_offset + i);
    Elements<T, kCount> some_e;
    for (int k = 0; k < kCount; ++k) {
      const float u = to_float(some_u.at[k]);
      const float value = activation_derivative(args.exact_gelu, u) * rstd_post * (some_alpha.at[k] - b * to_float(some_omega.at[k]));
      store(&some_e.at[k], value);
      gamma_sum += value * gamma.at[k];
      u_sum += value * (u - offset.at[k]);
    }
    store_elements(e + i, some_e);
  }
  gamma_sum = block_sum<kThreads>(gamma_sum);
  u_sum = block_sum<kThreads>(u_sum);
  if (threadIdx.x > 0) return;
  args.b[index] = b;
  args.sums[2 * index] = gamma_sum;
  args.sums[2 * index + 1] = u_sum / static_cast<float>(width);
}

// One warp per row, patch and head.
template <class T>
__global__ void __launch_bounds__(kThreads) mlp_gradient_finish_kernel(const __grid_constant__ MlpGradientFinish args) {
  const GradCamPart& part = args.parts.photo[blockIdx.z];
  const int heads = static_cast<int>(args.heads), width = static_cast<int>(args.width), size = width / heads;
  const int warp = static_cast<int>(blockIdx.x) * kWarps + static_cast<int>(threadIdx.x) / kWarp, patch = warp / heads, head = warp % heads;
  if (patch >= part.patches || blockIdx.y >= part.rows) return;
  const int64_t row = part.first_row + blockIdx.y, index = part.first_patch + blockIdx.y * part.patches + patch;
  const T *h_hat_out = static_cast<const T*>(part.h_hat_out) + static_cast<int64_t>(patch) * width,
          *z_hat_out = static_cast<const T*>(part.z_hat_out) + static_cast<int64_t>(patch) * width,
          *attended = static_cast<const T*>(part.attended) + static_cast<int64_t>(patch + 1) * width;
  const float *a_out = args.a_out + row * width, *product = args.product + index * width;
  const float b = args.b[index], rstd_post = part.rstd_post[patch], rstd_2 = part.rstd_2[patch];
  const float gamma_sum = args.sums[2 * index], u_sum = args.sums[2 * index + 1];
  T* gradient = static_cast<T*>(args.gradient) + index * width;
  float delta = 0;
  for (int c = head * size + static_cast<int>(threadIdx.x) % kWarp; c < (head + 1) * size; c += kWarp) {
    const float through_norm = a_out[c] - b * to_float(z_hat_out[c]);
    const float through_mlp = product[c] - gamma_sum * args.out_proj_column_sums[c] - u_sum * to_float(h_hat_out[c]);
    T value;
    store(&value, rstd_post * through_norm + rstd_2 * through_mlp);
    gradient[c] = value;
    delta += to_float(value) * to_float(attended[c]);
  }
  delta = warp_sum(delta);
  if (threadIdx.x % kWarp > 0) return;
  args.delta[heads * part.first_patch + (static_cast<int64_t>(blockIdx.y) * heads + head) * part.patches + patch] = delta;
}

template <class T>
int mlp_gradient_e_as(Stream stream, const MlpGradientE& args) {
  const unsigned patches = most_blocks(args.parts, [](const auto& part) { return static_cast<unsigned>(part.patches); });
  auto* kernel = args.hidden % 8 == 0 ? mlp_gradient_e_kernel<T, 8> : mlp_gradient_e_kernel<T, 1>;
  return launch(stream, kernel, {patches, most_rows(args.parts), depth_of(args.parts)}, kThreads, args);
}

}  // namespace

int mlp_gradient_e(Stream stream, const MlpGradientE& args) {
  return args.bfloat16 ? mlp_gradient_e_as<BFloat16>(stream, args) : mlp_gradient_e_as<float>(stream, args);
}

int mlp_gradient_finish(Stream stream, const MlpGradientFinish& args) {
  const unsigned blocks = most_blocks(args.parts, [&](const auto& part) { return blocks_for(part.patches * args.heads, kWarps); });
  auto* kernel = args.bfloat16 ? mlp_gradient_finish_kernel<BFloat16> : mlp_gradient_finish_kernel<float>;
  return launch(stream, kernel, {blocks, most_rows(args.parts), depth_of(args.parts)}, kThreads, args);
}

}  // namespace clip_es::cuda
