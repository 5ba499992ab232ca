// The element-wise parts of attention's backward pass. GradCAM needs only the sums over patches of dq, dk and dv, so every sum becomes a
// matrix product by LibTorch with weights that these kernels compute:
//   packed = [dO | delta], delta = dO . O                    dO: gradient of attention's output, O: its output, per head
//   key_weight_i = -scale * P_i0 * (dO_i . v_0 - delta_i)          sum of dk = sum_i key_weight_i * q_i
//   value_weight_i = 1 - P_i0                                      sum of dv = sum_i value_weight_i * dO_i
//   query_weight_j = scale * ((P^T dO)_j . v_j - (P^T delta)_j)    sum of dq = sum_j query_weight_j * k_j
// Token 0 is the class token: i runs over the patches, j over all tokens. Twin and derivation: ops/cpu/attention_gradient.cpp.
#include "ops/cuda/common.cuh"

namespace clip_es::cuda {
namespace {

constexpr int kWarps = 8, kThreads = kWarps * kWarp;  // per block

// The dot product of two vectors in device memory, by one warp; every lane gets the result.
__device__ float dot(const float* a, const float* b, int64_t size) {
  float sum = 0;
  for (int64_t c = threadIdx.x % kWarp; c < size; c += kWarp) sum += a[c] * b[c];
  return warp_sum(sum);
}

// One warp per head and patch; it loops over the classes.
__global__ void __launch_bounds__(kThreads) pack_out_gradient_kernel(PackOutGradient args) {
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp;
  if (index >= args.heads * args.rows) return;
  const int lane = threadIdx.x % kWarp;
  const int64_t head = index / args.rows, token = args.first + index % args.rows, size = args.width / args.heads;
  const float* class_token_value = args.qkv + 2 * args.width + head * size;
  const float* out = args.out + token * args.width + head * size;
  const float class_token_probability = args.probabilities[index * args.n];
  for (int64_t k = 0; k < args.classes; ++k) {
    const float* gradient = args.out_gradient + (k * (args.n - 1) + token - 1) * args.width + head * size;
    float* packed = args.packed + (index * args.classes + k) * (size + 1);
    float delta = 0, gradient_dot_value = 0;
    for (int64_t c = lane; c < size; c += kWarp) {
      const float value = gradient[c];
      packed[c] = value;
      delta += value * out[c];
      gradient_dot_value += value * class_token_value[c];
    }
    delta = warp_sum(delta);
    gradient_dot_value = warp_sum(gradient_dot_value);
    if (lane > 0) continue;
    packed[size] = delta;
    args.key_weight[index * args.classes + k] = -args.scale * class_token_probability * (gradient_dot_value - delta);
  }
  if (lane == 0) args.value_weight[index] = 1 - class_token_probability;
}

// One warp per head and key; it loops over the classes.
__global__ void __launch_bounds__(kThreads) query_weights_kernel(QueryWeights args) {
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp;
  if (index >= args.heads * args.n) return;
  const int64_t head = index / args.n, token = index % args.n, size = args.width / args.heads;
  const float* value = args.qkv + token * 3 * args.width + 2 * args.width + head * size;
  for (int64_t k = 0; k < args.classes; ++k) {
    const float* product = args.product + (index * args.classes + k) * (size + 1);
    const float product_dot_value = dot(product, value, size);
    if (threadIdx.x % kWarp == 0) args.query_weight[index * args.classes + k] = args.scale * (product_dot_value - product[size]);
  }
}

}  // namespace

int pack_out_gradient(Stream stream, const PackOutGradient& args) {
  return launch(stream, pack_out_gradient_kernel, blocks_for(args.heads * args.rows, kWarps), kThreads, args);
}

int query_weights(Stream stream, const QueryWeights& args) {
  return launch(stream, query_weights_kernel, blocks_for(args.heads * args.n, kWarps), kThreads, args);
}

}  // namespace clip_es::cuda
