// Sinkhorn as two vectors, and T x without T. The matrix is read once for each half round and once for each product: a block makes the
// entries of T that it needs from w's rows and, through shared memory, w's columns, and forgets them.
#include "ops/cuda/common.cuh"

namespace clip_es::cuda {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / kWarp;
constexpr int kParts = 32;
constexpr float kSmallestNormal = 1.17549435e-38f;

// A patch that nothing attends to has no share in the affinity; its reciprocal would be infinite.
__device__ float reciprocal(float sum) { return sum > kSmallestNormal ? 1 / sum : 0; }

// A block sums 32 columns, 32 threads sharing each.
__global__ void sinkhorn_columns_kernel(SinkhornColumns in) {
  __shared__ float parts[kParts][kWarp + 1];
  const int64_t column = static_cast<int64_t>(blockIdx.x) * kWarp + threadIdx.x;
  float sum = 0;
  if (column < in.n)
    for (int64_t row = threadIdx.y; row < in.n; row += kParts) sum += in.w[row * in.n + column] * (in.row_factor ? in.row_factor[row] : 1);
  parts[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  // A warp adds up a column: across the rows of `parts`, which are padded so that its lanes meet different banks.
  const int64_t own = static_cast<int64_t>(blockIdx.x) * kWarp + threadIdx.y;
  sum = warp_sum(parts[threadIdx.x][threadIdx.y]);
  if (threadIdx.x == 0 && own < in.n) in.column_factor[own] = reciprocal(sum);
}

// A warp sums a row.
__global__ void sinkhorn_rows_kernel(SinkhornRows in) {
  const int64_t row = global_thread() / kWarp;
  if (row >= in.n) return;
  float sum = 0;
  for (int64_t j = threadIdx.x % kWarp; j < in.n; j += kWarp) sum += in.w[row * in.n + j] * in.column_factor[j];
  sum = warp_sum(sum);
  if (threadIdx.x % kWarp == 0) in.row_factor[row] = reciprocal(sum);
}

// A block makes kWarps rows of y for kGroup classes, a warp each row; it goes along the row 32 columns at a time.
constexpr int kGroup = 8;

__global__ void apply_affinity_kernel(ApplyAffinity in) {
  __shared__ float transposed[kWarp][kWarps + 1];  // w's columns `first_row` and on, for 32 rows
  const int64_t first_row = static_cast<int64_t>(blockIdx.x) * kWarps, first_class = static_cast<int64_t>(blockIdx.y) * kGroup;
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  const int64_t row = first_row + warp, classes = in.classes - first_class < kGroup ? in.classes - first_class : kGroup;
  float sums[kGroup] = {};
  for (int64_t first = 0; first < in.n; first += kWarp) {
    __syncthreads();  // the last columns have been read
    const int64_t from = first + threadIdx.x / kWarps, to = first_row + threadIdx.x % kWarps;
    transposed[threadIdx.x / kWarps][threadIdx.x % kWarps] = from < in.n && to < in.n ? in.w[from * in.n + to] : 0;
    __syncthreads();
    const int64_t j = first + lane;
    if (row >= in.n || j >= in.n) continue;
    const float t = (in.r[row] * in.w[row * in.n + j] * in.c[j] + in.c[row] * transposed[lane][warp] * in.r[j]) / 2;
    for (int k = 0; k < kGroup; ++k)
      if (k < classes) {
        const int64_t at = (first_class + k) * in.n + j;
        if (!in.boxes || in.boxes[at]) sums[k] += t * in.x[at];
      }
  }
  for (int k = 0; k < kGroup; ++k) {
    const float sum = warp_sum(sums[k]);
    if (lane == 0 && k < classes && row < in.n) in.y[(first_class + k) * in.n + row] = sum;
  }
}

}  // namespace

int sinkhorn_columns(Stream stream, const SinkhornColumns& in) {
  return launch(stream, sinkhorn_columns_kernel, blocks_for(in.n, kWarp), {kWarp, kParts}, in);
}

int sinkhorn_rows(Stream stream, const SinkhornRows& in) {
  return launch(stream, sinkhorn_rows_kernel, blocks_for(in.n, kWarps), kThreads, in);
}

int apply_affinity(Stream stream, const ApplyAffinity& in) {
  return launch(stream, apply_affinity_kernel, {blocks_for(in.n, kWarps), blocks_for(in.classes, kGroup)}, kThreads, in);
}

}  // namespace clip_es::cuda
