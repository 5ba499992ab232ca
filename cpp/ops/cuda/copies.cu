// keep_attention:  copies the output and the log-sum-exp of LibTorch's attention into a photo's arrays
// convert:         float32 to bfloat16 or back. Twins: float_to_bfloat16, bfloat16_to_float
// One thread per 16 bytes (keep_attention) or element (convert).
#include "ops/cuda/common.cuh"

namespace clip_es::cuda {
namespace {

constexpr int kThreads = 256, kVector = 8;  // elements of 16 bytes

// The first threads of a photo also copy one value of log_sum_exp each: it has fewer values than `out` has vectors.
__global__ void __launch_bounds__(kThreads) keep_attention_kernel(const __grid_constant__ KeepAttention args) {
  const KeepAttentionPhoto& photo = args.photos.photo[blockIdx.z];
  const int64_t index = global_thread(), first = index * kVector;
  if (first < photo.n * args.width)
    store_elements(static_cast<BFloat16*>(photo.kept_out) + first, load_elements<kVector>(static_cast<const BFloat16*>(photo.out) + first));
  if (index >= args.heads * photo.n) return;
  const int64_t head = index / photo.n, row = index % photo.n;
  photo.kept_log_sum_exp[index] = photo.log_sum_exp.values[head * photo.log_sum_exp.head_stride + row * photo.log_sum_exp.row_stride];
}

template <class From, class To>
__global__ void __launch_bounds__(kThreads) convert_kernel(Convert args) {
  const int64_t index = global_thread();
  if (index < args.count) store(static_cast<To*>(args.to) + index, to_float(static_cast<const From*>(args.from)[index]));
}

}  // namespace

int keep_attention(Stream stream, const KeepAttention& args) {
  if (args.width % kVector != 0 || args.width < kVector * args.heads) return cudaErrorInvalidValue;
  const unsigned blocks = most_blocks(args.photos, [&](const auto& photo) { return blocks_for(photo.n * args.width, kThreads * kVector); });
  return launch(stream, keep_attention_kernel, {blocks, 1, depth_of(args.photos)}, kThreads, args);
}

int convert(Stream stream, const Convert& args) {
  auto* kernel = args.to_bfloat16 ? convert_kernel<float, BFloat16> : convert_kernel<BFloat16, float>;
  return launch(stream, kernel, blocks_for(args.count, kThreads), kThreads, args);
}

}  // namespace clip_es::cuda
