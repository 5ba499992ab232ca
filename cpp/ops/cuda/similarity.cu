// The element-wise and row-wise steps of maps by similarity: see kernels_similarity.h.
// Twins: cam/token_similarity.cpp, cam/embeddings.cpp (project), cam/patch_features.cpp (cut_window).
// One warp per row, so no barrier is needed. Sums are double, as on the CPU.
#include "ops/cuda/common.cuh"

namespace clip_es::cuda {
namespace {

constexpr int kThreads = 256, kRows = kThreads / kWarp;  // rows (warps) of a block

__device__ int64_t own_row() { return global_thread() / kWarp; }
__device__ int64_t own_lane() { return threadIdx.x % kWarp; }

// One thread per value. blockIdx.z is the window.
template <class T>
__global__ void __launch_bounds__(kThreads) cut_windows_kernel(const __grid_constant__ CutWindows args) {
  const WindowPlace& place = args.places.photo[blockIdx.z];
  const auto values = static_cast<int>(args.values), columns = static_cast<int>(args.columns), rows = static_cast<int>(args.rows);
  const int index = static_cast<int>(global_thread()), size = rows * columns * values;
  if (index >= size) return;
  const int patch = index / values, value = index % values, row = patch / columns, column = patch % columns;
  const int64_t from = (place.row + row) * args.photo_columns + place.column + column;
  static_cast<T*>(args.windows)[static_cast<int64_t>(blockIdx.z) * size + index] =
      static_cast<const T*>(args.patches)[from * values + value];
}

__global__ void __launch_bounds__(kThreads) add_scaled_kernel(AddScaled args) {
  const int64_t i = global_thread();
  if (i >= args.count) return;
  args.out[i] = args.factor * args.out[i] + args.added_factor * args.added[i % args.added_count];
}

__global__ void __launch_bounds__(kThreads) unit_rows_kernel(UnitRows args) {
  const int64_t row = own_row();
  if (row >= args.rows) return;
  const float* x = args.x + row * args.width;
  float* y = args.y + row * args.width;
  double squares = 0;
  for (int64_t c = own_lane(); c < args.width; c += kWarp) squares += static_cast<double>(x[c]) * x[c];
  squares = warp_sum(squares);
  const double norm = squares > 0 ? sqrt(squares) : 1;
  for (int64_t c = own_lane(); c < args.width; c += kWarp) y[c] = static_cast<float>(x[c] / norm);
}

__global__ void __launch_bounds__(kThreads) averaging_weights_kernel(AveragingWeights args) {
  const int64_t row = own_row(), n = args.patches;
  if (row >= n) return;
  float* similarity = args.similarity + row * n;
  double sum = 0;
  for (int64_t j = own_lane(); j < n; j += kWarp)
    if (similarity[j] >= args.least) sum += similarity[j];
  const auto factor = static_cast<float>(1 / (warp_sum(sum) + 1e-6));
  for (int64_t j = own_lane(); j < n; j += kWarp) similarity[j] = similarity[j] >= args.least ? factor * similarity[j] : 0;
}

__global__ void __launch_bounds__(kThreads) row_sums_kernel(SimilarityAttention args) {
  const int64_t row = own_row(), n = args.patches;
  if (row >= n) return;
  double sum = 0;
  for (int64_t j = own_lane(); j < n; j += kWarp) sum += args.similarity[row * n + j];
  sum = warp_sum(sum);
  if (own_lane() == 0) args.row_sums[row] = sum;
}

__global__ void __launch_bounds__(kThreads) similarity_attention_kernel(SimilarityAttention args) {
  const int64_t row = own_row(), n = args.patches;
  if (row >= n) return;
  double total = 0;
  for (int64_t i = own_lane(); i < n; i += kWarp) total += args.row_sums[i];
  const double mean = warp_sum(total) / (static_cast<double>(n) * static_cast<double>(n));
  float* similarity = args.similarity + row * n;
  double sum = 0;
  for (int64_t j = own_lane(); j < n; j += kWarp) {
    const float value = similarity[j];
    sum += similarity[j] = value < mean ? 0 : expf(args.sharpness * (value - 1));
  }
  const auto factor = static_cast<float>(1 / warp_sum(sum));
  for (int64_t j = own_lane(); j < n; j += kWarp) similarity[j] *= factor;
}

}  // namespace

int cut_windows(Stream stream, const CutWindows& args) {
  const unsigned blocks = blocks_for(args.rows * args.columns * args.values, kThreads);
  auto* kernel = args.bfloat16 ? cut_windows_kernel<BFloat16> : cut_windows_kernel<float>;
  return launch(stream, kernel, {blocks, 1, depth_of(args.places)}, kThreads, args);
}

int add_scaled(Stream stream, const AddScaled& args) {
  return launch(stream, add_scaled_kernel, blocks_for(args.count, kThreads), kThreads, args);
}

int unit_rows(Stream stream, const UnitRows& args) {
  return launch(stream, unit_rows_kernel, blocks_for(args.rows, kRows), kThreads, args);
}

int averaging_weights(Stream stream, const AveragingWeights& args) {
  return launch(stream, averaging_weights_kernel, blocks_for(args.patches, kRows), kThreads, args);
}

int similarity_attention(Stream stream, const SimilarityAttention& args) {
  const unsigned blocks = blocks_for(args.patches, kRows);
  if (const int error = launch(stream, row_sums_kernel, blocks, kThreads, args)) return error;
  return launch(stream, similarity_attention_kernel, blocks, kThreads, args);
}

}  // namespace clip_es::cuda
