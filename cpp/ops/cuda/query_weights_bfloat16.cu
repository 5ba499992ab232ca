// query_weight_j = scale * sum_i P_ij (dO_i . v_j - delta_i), P = exp(scale * q k^T - log_sum_exp), per head and row of texts, on tensor
// cores: see attention_gradient.cu. i runs over the patches, j over all tokens. Twin: ops/cpu/attention_gradient.cpp.
// One block of 4 warps per head, 64 keys and kRows rows of texts, 16 keys per warp. It goes over the patches, 32 at a time. The products
// are transposed, k q^T and v dO^T: so the keys and values stay in registers, and a thread adds the terms of its own two keys. P is
// computed once for the rows of texts, and never stored. While the block computes one row of texts, it copies the next dO, and the next
// queries.
#include "ops/cuda/head_rows.cuh"
#include "ops/cuda/mma.cuh"

namespace clip_es::cuda {
namespace {

constexpr int kWarps = 4, kThreads = kWarps * kWarp, kWarpKeys = 16, kKeys = kWarps * kWarpKeys;
constexpr int kPatches = 32, kBlockPatches = 8, kBlocks = kPatches / kBlockPatches;  // of a tile, and of one product
constexpr int kRows = 4;
constexpr float kLog2E = 1.44269504f;
static_assert(kKeys == 2 * kPatches && kPatches == 2 * kWarpKeys && kThreads >= kPatches);

using Tile = HeadRows<kPatches>;

// out[k]: the 16 rows of a warp as the left operand of the products.
__device__ void load_own_rows(Tile& tile, int first, int lane, FragmentA (&out)[kSteps]) {
  for (int k = 0; k < kSteps; ++k) load_matrices(out[k].pair, tile.vector(first + lane % 16, 2 * k + lane / 16));
}

// out += a times the 8 rows of the tile from `first` on, transposed.
__device__ void multiply_rows(const FragmentA (&a)[kSteps], Tile& tile, int first, int lane, float (&out)[4]) {
  for (int k = 0; k < kSteps; k += 2) {  // one load gives the rows of two products
    uint32_t pairs[4];
    load_matrices(pairs, tile.vector(first + lane % 8, 2 * k + lane / 8));
    multiply_add(out, a[k], {pairs[0], pairs[1]});
    multiply_add(out, a[k + 1], {pairs[2], pairs[3]});
  }
}

__global__ void __launch_bounds__(kThreads, 4) bfloat16_query_weights_kernel(const __grid_constant__ BFloat16QueryWeights args) {
  const GradCamPart& part = args.parts.photo[blockIdx.z];
  const int heads = static_cast<int>(args.heads), width = static_cast<int>(args.width), stride = 3 * width;
  const int patches = static_cast<int>(part.patches), n = patches + 1, head = static_cast<int>(blockIdx.x) % heads;
  const int first_key = static_cast<int>(blockIdx.x) / heads * kKeys, first_row = static_cast<int>(blockIdx.y) * kRows;
  if (first_key >= n || first_row >= part.rows) return;
  const int rows = part.rows - first_row < kRows ? static_cast<int>(part.rows) - first_row : kRows;
  __shared__ Tile queries[2], gradients[2];
  __shared__ float shifts[2][kPatches];       // log-sum-exp to base 2 of a tile's patches; infinity past the last patch, so that P is 0
  __shared__ float deltas[2][kPatches];       // of a tile's patches, for one row of texts
  __shared__ float sums[kRows][2][kThreads];  // each thread reads and writes its own
  const int thread = static_cast<int>(threadIdx.x), warp = thread / kWarp, lane = thread % kWarp, group = lane / 4, pair = lane % 4;
  const auto* head_queries = static_cast<const BFloat16*>(part.qkv) + head * kHeadSize;
  const float* log_sum_exp = part.log_sum_exp + static_cast<int64_t>(head) * n + 1;  // of the patches
  const auto* gradient_rows = static_cast<const BFloat16*>(args.out_gradient) + part.first_patch * width + head * kHeadSize;
  const float* all_deltas = args.delta + heads * part.first_patch + static_cast<int64_t>(head) * patches;

  // Keys and values pass through the tiles' memory into registers.
  const BFloat16* const keys = head_queries + width + static_cast<int64_t>(first_key) * stride;
  for (int half = 0; half < 2; ++half) {
    const int existing = n - first_key - half * kPatches;
    const BFloat16* const from = keys + (existing > 0 ? half * kPatches * stride : 0);
    start_copy_of_rows(queries[half], from, stride, existing, thread, kThreads);
    start_copy_of_rows(gradients[half], from + width, stride, existing, thread, kThreads);
  }
  wait_for_copies();
  __syncthreads();
  FragmentA key[kSteps], value[kSteps];
  load_own_rows(queries[warp / 2], warp % 2 * kWarpKeys, lane, key);
  load_own_rows(gradients[warp / 2], warp % 2 * kWarpKeys, lane, value);
  __syncthreads();

  // A step is one tile of patches and one row of texts. Its gradients are in buffer step % 2, and its queries in buffer tile % 2.
  const int tiles = (patches + kPatches - 1) / kPatches;
  const auto start_step = [&](int tile, int k, int buffer) {
    const int first = tile * kPatches, patch = first + thread;
    const int64_t row = first_row + k;
    start_copy_of_rows(gradients[buffer], gradient_rows + (row * patches + first) * width, width, patches - first, thread, kThreads);
    if (thread < kPatches) deltas[buffer][thread] = patch < patches ? all_deltas[row * heads * patches + patch] : 0;
    if (k > 0) return;
    start_copy_of_rows(queries[tile % 2], head_queries + static_cast<int64_t>(first + 1) * stride, stride, patches - first, thread,
                       kThreads);
    if (thread < kPatches) shifts[tile % 2][thread] = patch < patches ? log_sum_exp[patch] * kLog2E : INFINITY;
  };
  const float scale = args.scale * kLog2E;
  float p[kBlocks][4];
  int buffer = 0;
  start_step(0, 0, 0);
  for (int tile = 0; tile < tiles; ++tile)
    for (int k = 0; k < rows; ++k) {
      wait_for_copies();
      __syncthreads();  // this step's rows are there for all, and all warps have read the previous step's
      const int next = k + 1 < rows ? tile : tile + 1;
      if (next < tiles) start_step(next, next == tile ? k + 1 : 0, buffer ^ 1);
      if (k == 0) {
        const float* own_shifts = shifts[tile % 2] + 2 * pair;
        for (int block = 0; block < kBlocks; ++block) {
          float scores[4] = {};
          multiply_rows(key, queries[tile % 2], block * kBlockPatches, lane, scores);
          for (int i = 0; i < 4; ++i) p[block][i] = exp2f(scores[i] * scale - own_shifts[block * kBlockPatches + i % 2]);
        }
      }
      const float* own_deltas = deltas[buffer] + 2 * pair;
      float added[2] = {};  // of the keys group and group + 8
      for (int block = 0; block < kBlocks; ++block) {
        float products[4] = {};
        multiply_rows(value, gradients[buffer], block * kBlockPatches, lane, products);
        for (int i = 0; i < 4; ++i) added[i / 2] += p[block][i] * (products[i] - own_deltas[block * kBlockPatches + i % 2]);
      }
      for (int i = 0; i < 2; ++i) sums[k][i][thread] = (tile == 0 ? 0 : sums[k][i][thread]) + added[i];
      buffer ^= 1;
    }
  const int64_t before = heads * (part.first_patch + part.first_row);
  for (int k = 0; k < rows; ++k)
    for (int i = 0; i < 2; ++i) {
      float sum = sums[k][i][thread];
      for (int offset = 1; offset < 4; offset *= 2) sum += __shfl_xor_sync(kAllLanes, sum, offset);  // four lanes have the same keys
      const int own_key = first_key + warp * kWarpKeys + group + 8 * i;
      if (pair == 0 && own_key < n)
        args.weights[before + (static_cast<int64_t>(first_row + k) * heads + head) * n + own_key] = args.scale * sum;
    }
}

}  // namespace

int bfloat16_query_weights(Stream stream, const BFloat16QueryWeights& args) {
  if (args.width != args.heads * kHeadSize) return cudaErrorInvalidValue;
  const unsigned tiles = most_blocks(args.parts, [](const auto& part) { return blocks_for(part.patches + 1, kKeys); });
  const dim3 blocks(tiles * static_cast<unsigned>(args.heads), blocks_for(most_rows(args.parts), kRows), depth_of(args.parts));
  return launch(stream, bfloat16_query_weights_kernel, blocks, kThreads, args);
}

}  // namespace clip_es::cuda
