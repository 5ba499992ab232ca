// The mean over heads of a block's attention, added to the one n x n matrix that CAA wants.
#include "ops/cuda/mma.cuh"

namespace clip_es::cuda {
namespace {

constexpr int kThreads = 256;

__global__ void add_head_mean_kernel(AddHeadMean in) {
  const int64_t index = global_thread(), patches = in.n - 1;
  if (index >= in.rows * patches) return;
  const int64_t row = index / patches, column = index % patches, patch = in.first + row - 1;
  if (patch < 0) return;  // the class token's row
  float sum = 0;
  for (int64_t head = 0; head < in.heads; ++head) sum += in.probabilities[(head * in.rows + row) * in.n + column + 1];
  in.mean[patch * patches + column] += in.factor * sum;
}

// A block owns a tile of the mean, so nothing is added atomically: for every head it makes the tile's scores on tensor cores, turns them
// into probabilities by the log-sum-exp that flash attention kept, and sums those in registers.
constexpr int kTile = 64, kHeadSize = 64, kWarps = 4;
constexpr int kPadded = kHeadSize + 8;  // bfloat16 to a row in shared memory: the 8 rows that a fragment reads lie in different banks

struct Tile {
  alignas(16) BFloat16 rows[kTile][kPadded];

  // Rows first .. first + kTile - 1 of `from`, `stride` apart; those past the end become zero.
  __device__ void load(const BFloat16* from, int64_t stride, int64_t first, int64_t end) {
    constexpr int kPieces = kHeadSize / 8;  // of 16 bytes
    for (int i = threadIdx.x; i < kTile * kPieces; i += kWarps * kWarp) {
      const int row = i / kPieces, piece = i % kPieces;
      const uint4 zero{0, 0, 0, 0};
      *reinterpret_cast<uint4*>(&rows[row][piece * 8]) =
          first + row < end ? *reinterpret_cast<const uint4*>(from + (first + row) * stride + piece * 8) : zero;
    }
  }
  __device__ uint32_t pair(int row, int column) const { return *reinterpret_cast<const uint32_t*>(&rows[row][column]); }
};

__global__ void add_attention_mean_kernel(AddAttentionMean in) {
  __shared__ Tile queries, keys;
  const int64_t patches = in.n - 1, tiles = (patches + kTile - 1) / kTile, stride = 3 * in.width;
  const int64_t first_row = blockIdx.x / tiles * kTile, first_column = blockIdx.x % tiles * kTile;  // of the tile, as patches
  const int lane = threadIdx.x % kWarp, group = lane / 4, pair = lane % 4;
  const int row = static_cast<int>(threadIdx.x) / kWarp * 16 + group;      // of d[0]; d[2]'s is 8 further
  const auto* patch_rows = static_cast<const BFloat16*>(in.qkv) + stride;  // after the class token's
  constexpr float kLog2E = 1.44269504f;

  float sums[kTile / 8][4] = {};
  for (int64_t head = 0; head < in.heads; ++head) {
    __syncthreads();  // the last head's tiles have been read
    queries.load(patch_rows + head * kHeadSize, stride, first_row, patches);
    keys.load(patch_rows + in.width + head * kHeadSize, stride, first_column, patches);
    __syncthreads();
    float shift[2];  // of rows `row` and `row + 8`
    for (int i = 0; i < 2; ++i) {
      const int64_t patch = first_row + row + 8 * i;
      shift[i] = patch < patches ? in.log_sum_exp.values[head * in.log_sum_exp.head_stride + (patch + 1) * in.log_sum_exp.row_stride] : 0;
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
      for (int i = 0; i < 4; ++i) sums[block][i] += exp2f((scores[i] * in.scale - shift[i / 2]) * kLog2E);
    }
  }
  for (int block = 0; block < kTile / 8; ++block)
    for (int i = 0; i < 4; ++i) {
      const int64_t y = first_row + row + i / 2 * 8, x = first_column + block * 8 + 2 * pair + i % 2;
      if (y < patches && x < patches) in.mean[y * patches + x] += in.factor * sums[block][i];
    }
}

}  // namespace

int add_head_mean(Stream stream, const AddHeadMean& in) {
  return launch(stream, add_head_mean_kernel, blocks_for(in.rows * (in.n - 1), kThreads), kThreads, in);
}

int add_attention_mean(Stream stream, const AddAttentionMean& in) {
  if (in.width != in.heads * kHeadSize) return cudaErrorInvalidValue;
  const int64_t tiles = (in.n - 1 + kTile - 1) / kTile;
  return launch(stream, add_attention_mean_kernel, static_cast<unsigned>(tiles * tiles), kWarps * kWarp, in);
}

}  // namespace clip_es::cuda
