// mean[i][j] += factor * sum over heads of P[head][i][j], without row and column of the class token: the attention matrix that CAA needs.
// P = exp(scale * q k^T - log_sum_exp) is computed on tensor cores from bfloat16 queries and keys.
// Twin: ops/cpu/attention.cpp (attention_with_mean).
// One block of 8 warps per 128 x 128 tile of an image's mean, 16 rows per warp. It goes over the heads and adds the probabilities in
// registers. No atomics are needed, because each element of the mean belongs to one thread. While the block computes one head, it copies
// the next one into shared memory. Keys have two buffers, because all warps read them. Queries have one for each warp: the warp loads its
// own into registers first.
#include "ops/cuda/head_rows.cuh"
#include "ops/cuda/mma.cuh"

namespace clip_es::cuda {
namespace {

constexpr int kSide = 128, kWarps = 8, kThreads = kWarps * kWarp;
constexpr int kWarpRows = 16, kBlockKeys = 8;  // of one product
constexpr int kBlocks = kSide / kBlockKeys;
static_assert(kSide == kWarps * kWarpRows);

__global__ void __launch_bounds__(kThreads, 2) add_bfloat16_attention_mean_kernel(const __grid_constant__ AddBFloat16AttentionMean args) {
  const AddBFloat16AttentionMeanPhoto& photo = args.photos.photo[blockIdx.z];
  const int64_t patches = photo.n - 1, stride = 3 * args.width;
  const int64_t first_row = static_cast<int64_t>(blockIdx.y) * kSide, first_column = static_cast<int64_t>(blockIdx.x) * kSide;
  if (first_row >= patches || first_column >= patches) return;
  __shared__ HeadRows<kWarpRows> all_queries[kWarps];
  __shared__ HeadRows<kSide> keys[2];
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = threadIdx.x % kWarp, group = lane / 4, pair = lane % 4;
  const int64_t warp_row = first_row + warp * kWarpRows, row = warp_row + group;  // of scores[0]; scores[2] is 8 rows below
  HeadRows<kWarpRows>& queries = all_queries[warp];
  const auto* patch_rows = static_cast<const BFloat16*>(photo.qkv) + stride;  // without the class token
  const auto start_copies = [&](int64_t head) {
    const BFloat16* const channels = patch_rows + head * kHeadSize;
    // A warp below the last row copies nothing but must name an existing address.
    start_copy_of_rows(queries, channels + (warp_row < patches ? warp_row * stride : 0), stride, patches - warp_row, lane, kWarp);
    start_copy_of_rows(keys[head % 2], channels + args.width + first_column * stride, stride, patches - first_column,
                       static_cast<int>(threadIdx.x), kThreads);
  };
  constexpr float kLog2E = 1.44269504f;
  const float scale = args.scale * kLog2E;

  float sums[kBlocks][4] = {};
  start_copies(0);
  for (int64_t head = 0; head < args.heads; ++head) {
    float shift[2];  // log-sum-exp of row and row + 8, to base 2
    for (int i = 0; i < 2; ++i) {
      const float* values = photo.log_sum_exp.values + head * photo.log_sum_exp.head_stride;
      shift[i] = row + 8 * i < patches ? values[(row + 8 * i + 1) * photo.log_sum_exp.row_stride] * kLog2E : 0;
    }
    wait_for_copies();
    __syncthreads();  // this head's rows are there for all, and all warps have read the previous head's keys
    FragmentA a[kSteps];
    for (int k = 0; k < kSteps; ++k) load_matrices(a[k].pair, queries.vector(lane % 16, 2 * k + lane / 16));
    __syncwarp();  // all lanes have read the queries
    if (head + 1 < args.heads) start_copies(head + 1);
    HeadRows<kSide>& own_keys = keys[head % 2];
    for (int block = 0; block < kBlocks; ++block) {
      float scores[4] = {};
      for (int k = 0; k < kSteps; k += 2) {  // one load gives the keys of two products
        uint32_t pairs[4];
        load_matrices(pairs, own_keys.vector(block * kBlockKeys + lane % 8, 2 * k + lane / 8));
        multiply_add(scores, a[k], {pairs[0], pairs[1]});
        multiply_add(scores, a[k + 1], {pairs[2], pairs[3]});
      }
      for (int i = 0; i < 4; ++i) sums[block][i] += exp2f(scores[i] * scale - shift[i / 2]);
    }
  }
  for (int block = 0; block < kBlocks; ++block)
    for (int i = 0; i < 4; ++i) {
      const int64_t y = row + i / 2 * 8, x = first_column + block * kBlockKeys + 2 * pair + i % 2;
      if (y >= patches || x >= patches) continue;
      float* mean = photo.mean + y * patches + x;
      *mean = (args.is_first ? 0 : *mean) + args.factor * sums[block][i];
    }
}

}  // namespace

int add_bfloat16_attention_mean(Stream stream, const AddBFloat16AttentionMean& args) {
  if (args.width != args.heads * kHeadSize) return cudaErrorInvalidValue;
  const unsigned tiles = most_blocks(args.photos, [](const auto& photo) { return blocks_for(photo.n - 1, kSide); });
  return launch(stream, add_bfloat16_attention_mean_kernel, {tiles, tiles, depth_of(args.photos)}, kThreads, args);
}

}  // namespace clip_es::cuda
