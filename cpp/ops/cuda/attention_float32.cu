// attention:           out = softmax(scale * q k^T + prior) v per head, and the log-sum-exp of these scores
// add_attention_mean:  mean[i][j] += factor * sum over heads of P[head][i][j], P = exp(scale * q k^T - log_sum_exp), for the patches
// Both compute the scores in tiles of 64 x 64 and never store them, so a photo's memory does not grow with heads * n * n.
// attention goes over the keys once: it keeps each row's largest score and the sum of e^(score - largest), and rescales what it has when a
// larger score comes (Milakov and Gimelshein, "Online normalizer calculation for softmax").
// Twin: ops/cpu/attention.cpp (attention_with_mean, attention_with_prior).
#include "ops/cuda/tile.cuh"

namespace clip_es::cuda {
namespace {

static_assert(kLargestHead == 2 * kTile);

// The attention of 64 queries. Its thread owns four rows, and of each row the columns column .. column + 3 of every 64.
template <int kGroups>
struct Rows {
  float out[kGroups][4][4] = {};
  float largest[4] = {-INFINITY, -INFINITY, -INFINITY, -INFINITY}, sum[4] = {};

  // Turns scores into e^(score - largest), with `largest` of all keys so far, and scales the results so far to the same.
  __device__ void add_scores(float (&scores)[4][4]) {
    for (int i = 0; i < 4; ++i) {
      const float now = fmaxf(largest[i], row_max(fmaxf(fmaxf(scores[i][0], scores[i][1]), fmaxf(scores[i][2], scores[i][3]))));
      const float correction = expf(largest[i] - now);
      largest[i] = now;
      float added = 0;
      for (int j = 0; j < 4; ++j) added += scores[i][j] = expf(scores[i][j] - now);
      sum[i] = sum[i] * correction + row_sum(added);
      for (int g = 0; g < kGroups; ++g)
        for (int j = 0; j < 4; ++j) out[g][i][j] *= correction;
    }
  }
};

// e^(score - largest) of 64 queries and keys in shared memory: at[key][query].
struct Probabilities {
  alignas(16) float at[kTile][kPadded];
};

// Adds the prior to the scores of the queries row .. row + 3 and the keys column .. column + 3. Token `others` is the first patch.
__device__ void add_prior(const NeighbourPrior& prior, int others, int row, int column, float (&scores)[4][4]) {
  const int gw = static_cast<int>(prior.gw), patches = static_cast<int>(prior.gh) * gw;
  for (int i = 0; i < 4; ++i) {
    const int query = row + i - others;
    if (query < 0 || query >= patches) continue;
    for (int j = 0; j < 4; ++j) {
      const int key = column + j - others;
      if (key >= 0 && key < patches) scores[i][j] += prior.rows[abs(query / gw - key / gw)] * prior.columns[abs(query % gw - key % gw)];
    }
  }
}

// One block per photo, head and 64 queries.
template <int kGroups, bool kHasPrior>
__global__ void __launch_bounds__(kTileThreads) attention_kernel(const __grid_constant__ Attention args) {
  const AttentionPhoto& photo = args.photos.photo[blockIdx.z];
  const int n = static_cast<int>(photo.n), first_query = static_cast<int>(blockIdx.x) * kTile;
  if (first_query >= n) return;
  __shared__ TilePair shared;
  __shared__ Probabilities shared_p;
  const int width = static_cast<int>(args.width), size = width / static_cast<int>(args.heads), head = static_cast<int>(blockIdx.y);
  const float *queries = photo.queries + head * size, *keys = photo.keys + head * size, *values = photo.values + head * size;
  const Position own = own_elements();
  Rows<kGroups> rows;
  for (int first = 0; first < n; first += kTile) {
    float scores[4][4];
    multiply_tiles(shared, {queries, 3 * width, first_query, n}, {keys, 3 * width, first, n}, size, scores);
    for (int i = 0; i < 4; ++i)
      for (int j = 0; j < 4; ++j) scores[i][j] = first + own.column + j < n ? scores[i][j] * args.scale : -INFINITY;
    if constexpr (kHasPrior) {
      const int others = n - static_cast<int>(args.prior.gh * args.prior.gw);
      add_prior(args.prior, others, first_query + own.row, first + own.column, scores);
    }
    rows.add_scores(scores);
    for (int j = 0; j < 4; ++j)
      *reinterpret_cast<float4*>(&shared_p.at[own.column + j][own.row]) = float4{scores[0][j], scores[1][j], scores[2][j], scores[3][j]};
    // out += probabilities * values, 16 keys at a time.
    for (int key = 0; key < kTile; key += kDepth)
      for (int g = 0; g < kGroups; ++g) {
        __syncthreads();  // the probabilities are complete, and all threads have read the previous values
        for (int i = threadIdx.x; i < kDepth * kTile; i += kTileThreads) {
          const int row = first + key + i / kTile, column = g * kTile + i % kTile;
          shared.b[i / kTile][i % kTile] = row < n && column < size ? values[static_cast<int64_t>(row) * 3 * width + column] : 0;
        }
        __syncthreads();
        for (int k = 0; k < kDepth; ++k) add_outer(&shared_p.at[key + k][own.row], &shared.b[k][own.column], rows.out[g]);
      }
  }
  for (int i = 0; i < 4; ++i) {
    const int query = first_query + own.row + i;
    if (query >= n) continue;
    float* out = photo.out + static_cast<int64_t>(query) * width + head * size;
    for (int g = 0; g < kGroups; ++g)
      for (int j = 0; j < 4; ++j) {
        const int column = g * kTile + own.column + j;
        if (column < size) out[column] = rows.out[g][i][j] / rows.sum[i];
      }
    if (photo.log_sum_exp && own.column == 0)
      photo.log_sum_exp[static_cast<int64_t>(head) * n + query] = rows.largest[i] + logf(rows.sum[i]);
  }
}

// One block per photo and 64 x 64 tile of the mean, for all heads in order: no atomics are needed.
__global__ void __launch_bounds__(kTileThreads) add_attention_mean_kernel(const __grid_constant__ AddAttentionMean args) {
  const AddAttentionMeanPhoto& photo = args.photos.photo[blockIdx.z];
  const int patches = static_cast<int>(photo.n) - 1, first_row = static_cast<int>(blockIdx.y) * kTile;
  const int first_column = static_cast<int>(blockIdx.x) * kTile;
  if (first_row >= patches || first_column >= patches) return;
  __shared__ TilePair shared;
  const int width = static_cast<int>(args.width), heads = static_cast<int>(args.heads), size = width / heads;
  const float* patch_rows = photo.qkv + 3 * width;  // without the class token
  const Position own = own_elements();
  float sums[4][4] = {};
  for (int head = 0; head < heads; ++head) {
    const float *queries = patch_rows + head * size, *log_sum_exp = photo.log_sum_exp + head * photo.n + 1;
    float scores[4][4];
    multiply_tiles(shared, {queries, 3 * width, first_row, patches}, {queries + width, 3 * width, first_column, patches}, size, scores);
    for (int i = 0; i < 4; ++i) {
      const int row = first_row + own.row + i;
      const float shift = row < patches ? log_sum_exp[row] : 0;
      for (int j = 0; j < 4; ++j) sums[i][j] += expf(scores[i][j] * args.scale - shift);
    }
  }
  for (int i = 0; i < 4; ++i)
    for (int j = 0; j < 4; ++j) {
      const int row = first_row + own.row + i, column = first_column + own.column + j;
      if (row >= patches || column >= patches) continue;
      float* mean = photo.mean + static_cast<int64_t>(row) * patches + column;
      *mean = (args.is_first ? 0 : *mean) + args.factor * sums[i][j];
    }
}

}  // namespace

int attention(Stream stream, const Attention& args) {
  const int64_t size = args.width / args.heads;
  if (size > kLargestHead) return cudaErrorInvalidValue;
  const unsigned blocks = most_blocks(args.photos, [](const auto& photo) { return blocks_for(photo.n, kTile); });
  const dim3 grid(blocks, static_cast<unsigned>(args.heads), depth_of(args.photos));
  auto* kernel = args.prior.rows ? (size > kTile ? attention_kernel<2, true> : attention_kernel<1, true>)
                                 : (size > kTile ? attention_kernel<2, false> : attention_kernel<1, false>);
  return launch(stream, kernel, grid, kTileThreads, args);
}

int add_attention_mean(Stream stream, const AddAttentionMean& args) {
  const unsigned tiles = most_blocks(args.photos, [](const auto& photo) { return blocks_for(photo.n - 1, kTile); });
  return launch(stream, add_attention_mean_kernel, {tiles, tiles, depth_of(args.photos)}, kTileThreads, args);
}

}  // namespace clip_es::cuda
