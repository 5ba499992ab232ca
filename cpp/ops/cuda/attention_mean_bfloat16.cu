// mean[i][j] += factor * sum over heads of P[head][i][j], without row and column of the class token: the attention matrix that CAA needs.
// P = exp(scale * q k^T - log_sum_exp) is computed on tensor cores from bfloat16 queries and keys.
// Twin: ops/cpu/attention.cpp (attention_with_mean).
#include "ops/cuda/mma.cuh"

namespace clip_es::cuda {
namespace {

// One block of 4 warps per 64 x 64 tile of an image's mean, 16 rows per warp. For each head the block loads 64 queries
// and 64 keys into shared memory, computes their scores, and adds the probabilities in registers. No atomics are needed, because each
// element of the mean belongs to one thread.
constexpr int kTile = 64, kHeadSize = 64, kWarps = 4, kTileThreads = kWarps * kWarp;
constexpr int kPaddedRow = kHeadSize + 8;  // padding puts the 8 rows that a fragment reads into different banks

struct Tile {
  alignas(16) BFloat16 rows[kTile][kPaddedRow];

  // Copies the rows first .. first + kTile - 1 of `from`, 16 bytes at a time. Rows from `end` on become zero.
  // from: 16-byte aligned. stride: elements between rows, a multiple of 8.
  __device__ void load(const BFloat16* from, int64_t stride, int64_t first, int64_t end) {
    constexpr int kVectors = kHeadSize / 8;  // 16-byte vectors in a row
    for (int i = threadIdx.x; i < kTile * kVectors; i += kTileThreads) {
      const int row = i / kVectors, vector = i % kVectors;
      const uint4 zero{0, 0, 0, 0};
      *reinterpret_cast<uint4*>(&rows[row][vector * 8]) =
          first + row < end ? *reinterpret_cast<const uint4*>(from + (first + row) * stride + vector * 8) : zero;
    }
  }
  // The values (row, column) and (row, column + 1) in one register; column is even.
  __device__ uint32_t pair(int row, int column) const { return *reinterpret_cast<const uint32_t*>(&rows[row][column]); }
};

__global__ void __launch_bounds__(kTileThreads) add_bfloat16_attention_mean_kernel(const __grid_constant__ AddBFloat16AttentionMean args) {
  const AddBFloat16AttentionMeanPhoto& photo = args.photos.photo[blockIdx.z];
  const int64_t patches = photo.n - 1, stride = 3 * args.width;
  const int64_t first_row = static_cast<int64_t>(blockIdx.y) * kTile, first_column = static_cast<int64_t>(blockIdx.x) * kTile;
  if (first_row >= patches || first_column >= patches) return;
  __shared__ Tile queries, keys;
  const int lane = threadIdx.x % kWarp, group = lane / 4, pair = lane % 4;
  const int row = static_cast<int>(threadIdx.x) / kWarp * 16 + group;         // row of scores[0]; scores[2] is 8 rows below
  const auto* patch_rows = static_cast<const BFloat16*>(photo.qkv) + stride;  // without the class token
  constexpr float kLog2E = 1.44269504f;

  float sums[kTile / 8][4] = {};
  for (int64_t head = 0; head < args.heads; ++head) {
    __syncthreads();  // all warps have read the previous head's tiles
    queries.load(patch_rows + head * kHeadSize, stride, first_row, patches);
    keys.load(patch_rows + args.width + head * kHeadSize, stride, first_column, patches);
    __syncthreads();
    float shift[2];  // log-sum-exp of row and row + 8
    for (int i = 0; i < 2; ++i) {
      const int64_t patch = first_row + row + 8 * i;
      shift[i] =
          patch < patches ? photo.log_sum_exp.values[head * photo.log_sum_exp.head_stride + (patch + 1) * photo.log_sum_exp.row_stride] : 0;
    }
    FragmentA a[kHeadSize / 16];
    for (int k = 0; k < kHeadSize / 16; ++k)
      for (int i = 0; i < 4; ++i) a[k].pair[i] = queries.pair(row + i % 2 * 8, k * 16 + i / 2 * 8 + 2 * pair);
    for (int block = 0; block < kTile / 8; ++block) {
      float scores[4] = {};
      for (int k = 0; k < kHeadSize / 16; ++k) {
        FragmentB b;
        for (int i = 0; i < 2; ++i) b.pair[i] = keys.pair(block * 8 + group, k * 16 + i * 8 + 2 * pair);
        multiply_add(scores, a[k], b);
      }
      for (int i = 0; i < 4; ++i) sums[block][i] += exp2f((scores[i] * args.scale - shift[i / 2]) * kLog2E);
    }
  }
  for (int block = 0; block < kTile / 8; ++block)
    for (int i = 0; i < 4; ++i) {
      const int64_t y = first_row + row + i / 2 * 8, x = first_column + block * 8 + 2 * pair + i % 2;
      if (y >= patches || x >= patches) continue;
      float* mean = photo.mean + y * patches + x;
      *mean = (args.is_first ? 0 : *mean) + args.factor * sums[block][i];
    }
}

}  // namespace

int add_bfloat16_attention_mean(Stream stream, const AddBFloat16AttentionMean& args) {
  if (args.width != args.heads * kHeadSize) return cudaErrorInvalidValue;
  const unsigned tiles = most_blocks(args.photos, [](const auto& photo) { return blocks_for(photo.n - 1, kTile); });
  return launch(stream, add_bfloat16_attention_mean_kernel, {tiles, tiles, depth_of(args.photos)}, kTileThreads, args);
}

}  // namespace clip_es::cuda
