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

// One block per photo and 32 columns. Thread (x, y) sums the rows y, y + 32, ... of column x; then warp y adds the 32 partial sums of
// column y.
__global__ void __launch_bounds__(kColumnThreads) sinkhorn_columns_kernel(const __grid_constant__ SinkhornColumns args) {
  const SinkhornPhoto& photo = args.photos.photo[blockIdx.z];
  const int n = static_cast<int>(photo.n), first = static_cast<int>(blockIdx.x) * kWarp;
  if (first >= n || args.round >= photo.rounds) return;
  __shared__ float parts[kParts][kWarp + 1];
  const int column = first + static_cast<int>(threadIdx.x);
  float sum = 0;
  if (column < n)
    for (int row = static_cast<int>(threadIdx.y); row < n; row += kParts)
      sum += photo.w[row * photo.n + column] * (args.round > 0 ? photo.row_factor[row] : 1);
  parts[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  // A warp reads one column of `parts`, whose rows are padded so that the lanes use different banks.
  const int own_column = first + static_cast<int>(threadIdx.y);
  sum = warp_sum(parts[threadIdx.x][threadIdx.y]);
  if (threadIdx.x == 0 && own_column < n) photo.column_factor[own_column] = reciprocal(sum);
}

// One warp per photo and row.
__global__ void __launch_bounds__(kThreads) sinkhorn_rows_kernel(const __grid_constant__ SinkhornRows args) {
  const SinkhornPhoto& photo = args.photos.photo[blockIdx.z];
  const int n = static_cast<int>(photo.n), row = static_cast<int>(global_thread()) / kWarp;
  if (row >= n || args.round >= photo.rounds) return;
  const float* w = photo.w + row * photo.n;
  float sum = 0;
  for (int j = threadIdx.x % kWarp; j < n; j += kWarp) sum += w[j] * photo.column_factor[j];
  sum = warp_sum(sum);
  if (threadIdx.x % kWarp == 0) photo.row_factor[row] = reciprocal(sum);
}

// One block per photo, kWarps rows of y and kGroup classes, one warp per row. Each step covers 32 columns of w.
constexpr int kGroup = 8;

__global__ void __launch_bounds__(kThreads) apply_affinity_kernel(const __grid_constant__ ApplyAffinity args) {
  const ApplyAffinityPhoto& photo = args.photos.photo[blockIdx.z];
  const int n = static_cast<int>(photo.n), first_row = static_cast<int>(blockIdx.x) * kWarps;
  const int first_class = static_cast<int>(blockIdx.y) * kGroup, classes = static_cast<int>(photo.classes) - first_class;
  if (first_row >= n || classes <= 0) return;
  __shared__ float transposed[kWarp][kWarps + 1];  // transposed[j][i] = w[first + j][first_row + i]
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp, row = first_row + warp;
  const float row_r = photo.r && row < n ? photo.r[row] : 1, row_c = photo.c && row < n ? photo.c[row] : 1;
  float sums[kGroup] = {};
  for (int first = 0; first < n; first += kWarp) {
    __syncthreads();  // all warps have read the previous columns
    const int from = first + static_cast<int>(threadIdx.x) / kWarps, to = first_row + static_cast<int>(threadIdx.x) % kWarps;
    transposed[threadIdx.x / kWarps][threadIdx.x % kWarps] = from < n && to < n ? photo.w[from * photo.n + to] : 0;
    __syncthreads();
    const int j = first + lane;
    if (row >= n || j >= n) continue;
    const float t =
        (row_r * photo.w[row * photo.n + j] * (photo.c ? photo.c[j] : 1) + row_c * transposed[lane][warp] * (photo.r ? photo.r[j] : 1)) / 2;
    for (int k = 0; k < kGroup; ++k)
      if (k < classes) {
        const int64_t at = (first_class + k) * photo.n + j;
        if (!photo.boxes || photo.boxes[at]) sums[k] += t * photo.x[at];
      }
  }
  for (int k = 0; k < kGroup; ++k) {
    const float sum = warp_sum(sums[k]);
    if (lane == 0 && k < classes && row < n) photo.y[(first_class + k) * photo.n + row] = sum;
  }
}

}  // namespace

int sinkhorn_columns(Stream stream, const SinkhornColumns& args) {
  const unsigned blocks = most_blocks(args.photos, [](const auto& photo) { return blocks_for(photo.n, kWarp); });
  return launch(stream, sinkhorn_columns_kernel, {blocks, 1, depth_of(args.photos)}, {kWarp, kParts}, args);
}

int sinkhorn_rows(Stream stream, const SinkhornRows& args) {
  const unsigned blocks = most_blocks(args.photos, [](const auto& photo) { return blocks_for(photo.n, kWarps); });
  return launch(stream, sinkhorn_rows_kernel, {blocks, 1, depth_of(args.photos)}, kThreads, args);
}

int apply_affinity(Stream stream, const ApplyAffinity& args) {
  const unsigned rows = most_blocks(args.photos, [](const auto&photo) { return blocks_for(photo.n, kWarps); }),
                 classes = most_blocks(args.photos, [](const auto&photo) { return blocks_for(photo.classes, kGroup); });
  return launch(stream, apply_affinity_kernel, {rows, classes, depth_of(args.photos)}, kThreads, args);
}

}  // namespace clip_es::cuda
