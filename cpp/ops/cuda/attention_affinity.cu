// Class-aware attention-based affinity (CAA), without storing the affinity matrix T.
// sinkhorn_columns:  c_j = 1 / sum_i (w_ij r_i)
// sinkhorn_rows:     r_i = 1 / sum_j (w_ij c_j)
// apply_affinity:    y = T x, T_ij = (r_i w_ij c_j + c_i w_ji r_j) / 2
// Twins: cam/attention_affinity.cpp (clip_es::refine_cams), reference/attention_affinity.cpp.
// Sinkhorn keeps two vectors of factors instead of a normalised matrix. apply_affinity computes the entries of T when it needs them: w_ij
// from rows of w, and w_ji from columns of w through shared memory, so that both reads are contiguous.
#include "ops/cuda/common.cuh"

namespace clip_es::cuda {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / kWarp;
constexpr int kParts = 32;  // threads that share a column
constexpr int kColumnThreads = kWarp * kParts;
constexpr float kSmallestNormal = 1.17549435e-38f;

// A patch that receives no attention gets the factor 0, because its reciprocal would be infinite.
__device__ float reciprocal(float sum) { return sum > kSmallestNormal ? 1 / sum : 0; }

// One block per 32 columns. Thread (x, y) sums the rows y, y + 32, ... of column x; then warp y adds the 32 partial sums of column y.
__global__ void __launch_bounds__(kColumnThreads) sinkhorn_columns_kernel(SinkhornColumns args) {
  __shared__ float parts[kParts][kWarp + 1];
  const int64_t column = static_cast<int64_t>(blockIdx.x) * kWarp + threadIdx.x;
  float sum = 0;
  if (column < args.n)
    for (int64_t row = threadIdx.y; row < args.n; row += kParts)
      sum += args.w[row * args.n + column] * (args.row_factor ? args.row_factor[row] : 1);
  parts[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  // A warp reads one column of `parts`, whose rows are padded so that the lanes use different banks.
  const int64_t own_column = static_cast<int64_t>(blockIdx.x) * kWarp + threadIdx.y;
  sum = warp_sum(parts[threadIdx.x][threadIdx.y]);
  if (threadIdx.x == 0 && own_column < args.n) args.column_factor[own_column] = reciprocal(sum);
}

// One warp per row.
__global__ void __launch_bounds__(kThreads) sinkhorn_rows_kernel(SinkhornRows args) {
  const int64_t row = global_thread() / kWarp;
  if (row >= args.n) return;
  float sum = 0;
  for (int64_t j = threadIdx.x % kWarp; j < args.n; j += kWarp) sum += args.w[row * args.n + j] * args.column_factor[j];
  sum = warp_sum(sum);
  if (threadIdx.x % kWarp == 0) args.row_factor[row] = reciprocal(sum);
}

// One block per kWarps rows of y and kGroup classes, one warp per row. Each step covers 32 columns of w.
constexpr int kGroup = 8;

__global__ void __launch_bounds__(kThreads) apply_affinity_kernel(ApplyAffinity args) {
  __shared__ float transposed[kWarp][kWarps + 1];  // transposed[j][i] = w[first + j][first_row + i]
  const int64_t first_row = static_cast<int64_t>(blockIdx.x) * kWarps, first_class = static_cast<int64_t>(blockIdx.y) * kGroup;
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  const int64_t row = first_row + warp, classes = args.classes - first_class < kGroup ? args.classes - first_class : kGroup;
  float sums[kGroup] = {};
  for (int64_t first = 0; first < args.n; first += kWarp) {
    __syncthreads();  // all warps have read the previous columns
    const int64_t from = first + threadIdx.x / kWarps, to = first_row + threadIdx.x % kWarps;
    transposed[threadIdx.x / kWarps][threadIdx.x % kWarps] = from < args.n && to < args.n ? args.w[from * args.n + to] : 0;
    __syncthreads();
    const int64_t j = first + lane;
    if (row >= args.n || j >= args.n) continue;
    const float t = (args.r[row] * args.w[row * args.n + j] * args.c[j] + args.c[row] * transposed[lane][warp] * args.r[j]) / 2;
    for (int k = 0; k < kGroup; ++k)
      if (k < classes) {
        const int64_t at = (first_class + k) * args.n + j;
        if (!args.boxes || args.boxes[at]) sums[k] += t * args.x[at];
      }
  }
  for (int k = 0; k < kGroup; ++k) {
    const float sum = warp_sum(sums[k]);
    if (lane == 0 && k < classes && row < args.n) args.y[(first_class + k) * args.n + row] = sum;
  }
}

}  // namespace

int sinkhorn_columns(Stream stream, const SinkhornColumns& args) {
  return launch(stream, sinkhorn_columns_kernel, blocks_for(args.n, kWarp), {kWarp, kParts}, args);
}

int sinkhorn_rows(Stream stream, const SinkhornRows& args) {
  return launch(stream, sinkhorn_rows_kernel, blocks_for(args.n, kWarps), kThreads, args);
}

int apply_affinity(Stream stream, const ApplyAffinity& args) {
  return launch(stream, apply_affinity_kernel, {blocks_for(args.n, kWarps), blocks_for(args.classes, kGroup)}, kThreads, args);
}

}  // namespace clip_es::cuda
