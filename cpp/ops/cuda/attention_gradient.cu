// What stands between the products of attention's backward pass; the derivation is in cpu/attention_gradient.cpp. With [dO | delta] packed
// and the weights of q, k and dO made here, every sum over patches is a matrix product.
#include "ops/cuda/common.cuh"

namespace clip_es::cuda {
namespace {

constexpr int kWarps = 8;

__device__ float dot(const float* a, const float* b, int64_t size) {
  float sum = 0;
  for (int64_t c = threadIdx.x % kWarp; c < size; c += kWarp) sum += a[c] * b[c];
  return warp_sum(sum);
}

// A warp takes one patch of one head, class after class.
__global__ void pack_out_gradient_kernel(PackOutGradient in) {
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp;
  if (index >= in.heads * in.rows) return;
  const int lane = threadIdx.x % kWarp;
  const int64_t head = index / in.rows, token = in.first + index % in.rows, size = in.width / in.heads;
  const float* class_token_value = in.qkv + 2 * in.width + head * size;
  const float* out = in.out + token * in.width + head * size;
  const float to_class_token = in.probabilities[index * in.n];
  for (int64_t k = 0; k < in.classes; ++k) {
    const float* gradient = in.out_gradient + (k * (in.n - 1) + token - 1) * in.width + head * size;
    float* packed = in.packed + (index * in.classes + k) * (size + 1);
    for (int64_t c = lane; c < size; c += kWarp) packed[c] = gradient[c];
    const float delta = dot(gradient, out, size);
    const float along_class_token = dot(gradient, class_token_value, size);
    if (lane > 0) continue;
    packed[size] = delta;
    in.key_weight[index * in.classes + k] = -in.scale * to_class_token * (along_class_token - delta);
  }
  if (lane == 0) in.value_weight[index] = 1 - to_class_token;
}

// A warp takes one key of one head: scale times its column sum of dS, from P^T [dO | delta].
__global__ void query_weights_kernel(QueryWeights in) {
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp;
  if (index >= in.heads * in.n) return;
  const int64_t head = index / in.n, token = index % in.n, size = in.width / in.heads;
  const float* value = in.qkv + token * 3 * in.width + 2 * in.width + head * size;
  for (int64_t k = 0; k < in.classes; ++k) {
    const float* product = in.product + (index * in.classes + k) * (size + 1);
    const float along_value = dot(product, value, size);
    if (threadIdx.x % kWarp == 0) in.query_weight[index * in.classes + k] = in.scale * (along_value - product[size]);
  }
}

}  // namespace

int pack_out_gradient(Stream stream, const PackOutGradient& in) {
  return launch(stream, pack_out_gradient_kernel, blocks_for(in.heads * in.rows, kWarps), kWarps * kWarp, in);
}

int query_weights(Stream stream, const QueryWeights& in) {
  return launch(stream, query_weights_kernel, blocks_for(in.heads * in.n, kWarps), kWarps * kWarp, in);
}

}  // namespace clip_es::cuda
