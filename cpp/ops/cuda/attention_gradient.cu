// Attention's backward pass. GradCAM needs only the sums over patches of dq, dk and dv, so no n x n gradient is stored. With P = exp(scale
// * q k^T - log_sum_exp), dO the gradient of attention's output, and delta_i = dO_i . O_i, per head:
//   query_weights:      (float32; query_weights_bfloat16.cu has the kernel for bfloat16)
//                       query_weight_j = scale * sum_i P_ij (dO_i . v_j - delta_i)
//   qkv_gradient_sums:  sum of dq = sum_j query_weight_j * k_j
//                       sum of dk = -scale * sum_i P_i0 (dO_i . v_0 - delta_i) * q_i
//                       sum of dv = sum_i (1 - P_i0) * dO_i
// Token 0 is the class token: i runs over the patches, j over all tokens. Twin and derivation: ops/cpu/attention_gradient.cpp.
// patch_cams:           cams_i = y_i . channels, where channels are the sums times in_proj
// blockIdx.z is the part.
#include "ops/cuda/tile.cuh"

namespace clip_es::cuda {
namespace {

// Query weights: one block per head, 64 keys and kRows rows of texts. It goes over the patches, 64 at a time, and computes their P only
// once for its rows.
constexpr int kRows = 4;

__global__ void __launch_bounds__(kTileThreads) query_weights_kernel(const __grid_constant__ QueryWeights args) {
  const GradCamPart& part = args.parts.photo[blockIdx.z];
  const int heads = static_cast<int>(args.heads), width = static_cast<int>(args.width), size = width / heads;
  const int patches = static_cast<int>(part.patches), n = patches + 1, head = static_cast<int>(blockIdx.x) % heads;
  const int first_key = static_cast<int>(blockIdx.x) / heads * kTile, first_row = static_cast<int>(blockIdx.y) * kRows;
  const int rows = static_cast<int>(part.rows) - first_row;  // those from kRows on belong to other blocks
  if (first_key >= n || rows <= 0) return;
  __shared__ TilePair shared;
  __shared__ float sums[kRows][16][kTile];  // over the patches of the threads that own the same rows
  const auto* qkv = static_cast<const float*>(part.qkv);
  const float *queries = qkv + 3 * width + head * size, *keys = qkv + width + head * size, *values = keys + width;
  const float* log_sum_exp = part.log_sum_exp + static_cast<int64_t>(head) * n + 1;  // of the patches
  const Position own = own_elements();
  for (int k = 0; k < kRows; ++k)
    for (int j = 0; j < 4; ++j) sums[k][own.row / 4][own.column + j] = 0;
  for (int first = 0; first < patches; first += kTile) {
    float p[4][4];
    multiply_tiles(shared, {queries, 3 * width, first, patches}, {keys, 3 * width, first_key, n}, size, p);
    for (int i = 0; i < 4; ++i) {
      const int patch = first + own.row + i;
      for (int j = 0; j < 4; ++j) p[i][j] = patch < patches ? expf(p[i][j] * args.scale - log_sum_exp[patch]) : 0;
    }
    for (int k = 0; k < kRows && k < rows; ++k) {
      const int64_t row = first_row + k;
      const float* out_gradient = args.out_gradient + (part.first_patch + row * patches) * width + head * size;
      const float* delta = args.delta + heads * part.first_patch + (row * heads + head) * patches;
      float dp[4][4];
      multiply_tiles(shared, {out_gradient, width, first, patches}, {values, 3 * width, first_key, n}, size, dp);
      float added[4] = {};
      for (int i = 0; i < 4; ++i) {
        const int patch = first + own.row + i;
        const float own_delta = patch < patches ? delta[patch] : 0;
        for (int j = 0; j < 4; ++j) added[j] += p[i][j] * (dp[i][j] - own_delta);
      }
      for (int j = 0; j < 4; ++j) sums[k][own.row / 4][own.column + j] += added[j];
    }
  }
  __syncthreads();
  // Thread 64 k + i adds the sums of row k and key i.
  static_assert(kRows * kTile == kTileThreads);
  const int k = static_cast<int>(threadIdx.x) / kTile, key = static_cast<int>(threadIdx.x) % kTile;
  if (k >= rows || first_key + key >= n) return;
  float sum = 0;
  for (int i = 0; i < 16; ++i) sum += sums[k][i][key];
  const int64_t before = heads * (part.first_patch + part.first_row);
  args.weights[before + (static_cast<int64_t>(first_row + k) * heads + head) * n + first_key + key] = args.scale * sum;
}

// The sums: one block per row of texts and head. A warp computes one token at a time; lane l has the channels l, l + 32, ….
constexpr int kWarps = 16, kSumThreads = kWarps * kWarp;
constexpr int kLaneChannels = kLargestHead / kWarp;

// The channels of a vector that belong to this lane.
struct LaneVector {
  float at[kLaneChannels] = {};

  template <class T>
  __device__ void load(const T* from, int size) {
    for (int i = 0; i < kLaneChannels; ++i) {
      const int c = static_cast<int>(threadIdx.x) % kWarp + i * kWarp;
      at[i] = c < size ? to_float(from[c]) : 0;
    }
  }
  __device__ void add(float factor, const LaneVector& x) {
    for (int i = 0; i < kLaneChannels; ++i) at[i] += factor * x.at[i];
  }
  // All lanes of the warp must call it; every lane gets the result.
  __device__ float dot(const LaneVector& x) const {
    float sum = 0;
    for (int i = 0; i < kLaneChannels; ++i) sum += at[i] * x.at[i];
    return warp_sum(sum);
  }
};

// Writes the sum of all warps' vectors. All threads of the block must call it.
template <class T>
__device__ void write_sum(const LaneVector& own, int size, T* to) {
  __shared__ float parts[kWarps][kLargestHead];
  __syncthreads();  // the sum of the previous call was read
  for (int i = 0; i < kLaneChannels; ++i) parts[threadIdx.x / kWarp][threadIdx.x % kWarp + i * kWarp] = own.at[i];
  __syncthreads();
  const int c = static_cast<int>(threadIdx.x);
  if (c >= size) return;
  float sum = 0;
  for (int warp = 0; warp < kWarps; ++warp) sum += parts[warp][c];
  store(to + c, sum);
}

// T: type of qkv, out_gradient and sums.
template <class T>
__global__ void __launch_bounds__(kSumThreads) qkv_gradient_sums_kernel(const __grid_constant__ QkvGradientSums args) {
  const GradCamPart& part = args.parts.photo[blockIdx.z];
  if (blockIdx.y >= part.rows) return;
  const int heads = static_cast<int>(args.heads), width = static_cast<int>(args.width), size = width / heads;
  const int patches = static_cast<int>(part.patches), n = patches + 1, head = static_cast<int>(blockIdx.x);
  const int64_t row = blockIdx.y, stride = 3 * width;
  const T *queries = static_cast<const T*>(part.qkv) + head * size, *keys = queries + width;
  const float* log_sum_exp = part.log_sum_exp + static_cast<int64_t>(head) * n;
  const T* out_gradient = static_cast<const T*>(args.out_gradient) + (part.first_patch + row * patches) * width + head * size;
  const float* delta = args.delta + heads * part.first_patch + (row * heads + head) * patches;
  const float* weights = args.query_weights + heads * (part.first_patch + part.first_row) + (row * heads + head) * n;
  LaneVector class_key, class_value, dq, dk, dv;
  class_key.load(keys, size);
  class_value.load(keys + width, size);
  for (int token = static_cast<int>(threadIdx.x) / kWarp; token < n; token += kWarps) {
    LaneVector query, key, gradient;
    key.load(keys + token * stride, size);
    dq.add(weights[token], key);
    if (token == 0) continue;
    query.load(queries + token * stride, size);
    gradient.load(out_gradient + static_cast<int64_t>(token - 1) * width, size);
    const float p = expf(args.scale * query.dot(class_key) - log_sum_exp[token]);  // of the class token
    dk.add(-args.scale * p * (gradient.dot(class_value) - delta[token - 1]), query);
    dv.add(1 - p, gradient);
  }
  T* sums = static_cast<T*>(args.sums) + (part.first_row + row) * stride + head * size;
  write_sum(dq, size, sums);
  write_sum(dk, size, sums + width);
  write_sum(dv, size, sums + 2 * width);
}

// One warp per row of texts and patch.
constexpr int kCamWarps = 8;

template <class T>
__global__ void __launch_bounds__(kCamWarps* kWarp) patch_cams_kernel(const __grid_constant__ PatchCams args) {
  const GradCamPart& part = args.parts.photo[blockIdx.z];
  const int64_t patch = static_cast<int64_t>(blockIdx.x) * kCamWarps + threadIdx.x / kWarp;
  if (patch >= part.patches || blockIdx.y >= part.rows) return;
  const int width = static_cast<int>(args.width);
  const T* y = static_cast<const T*>(part.y) + (patch + 1) * width;
  const float* channels = args.channels + (part.first_row + blockIdx.y) * width;
  float sum = 0;
  for (int c = threadIdx.x % kWarp; c < width; c += kWarp) sum += to_float(y[c]) * channels[c];
  sum = warp_sum(sum);
  if (threadIdx.x % kWarp == 0) args.cams[part.first_patch + blockIdx.y * part.patches + patch] = sum;
}

}  // namespace

int query_weights(Stream stream, const QueryWeights& args) {
  const unsigned tiles = most_blocks(args.parts, [](const auto& part) { return blocks_for(part.patches + 1, kTile); });
  const dim3 blocks(tiles * static_cast<unsigned>(args.heads), blocks_for(most_rows(args.parts), kRows), depth_of(args.parts));
  return launch(stream, query_weights_kernel, blocks, kTileThreads, args);
}

int qkv_gradient_sums(Stream stream, const QkvGradientSums& args) {
  if (args.width / args.heads > kLargestHead) return cudaErrorInvalidValue;
  const dim3 blocks(static_cast<unsigned>(args.heads), most_rows(args.parts), depth_of(args.parts));
  auto* kernel = args.bfloat16 ? qkv_gradient_sums_kernel<BFloat16> : qkv_gradient_sums_kernel<float>;
  return launch(stream, kernel, blocks, kSumThreads, args);
}

int patch_cams(Stream stream, const PatchCams& args) {
  const unsigned blocks = most_blocks(args.parts, [](const auto& part) { return blocks_for(part.patches, kCamWarps); });
  auto* kernel = args.bfloat16 ? patch_cams_kernel<BFloat16> : patch_cams_kernel<float>;
  return launch(stream, kernel, {blocks, most_rows(args.parts), depth_of(args.parts)}, kCamWarps * kWarp, args);
}

}  // namespace clip_es::cuda
