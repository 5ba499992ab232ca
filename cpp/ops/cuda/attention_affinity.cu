// Class-aware attention-based affinity (CAA) in one launch, without storing the affinity matrix T.
// Sinkhorn's rounds: c_j = 1 / sum_i (r_i w_ij), then r_i = 1 / sum_j (w_ij c_j), where all r_i are 1 at first.
// T x: y_i = (r_i sum_j (w_ij c_j x_j) + c_i sum_j (w_ji r_j x_j)) / 2, first for x = boxes * cams, then for x = the result.
// Twins: cam/attention_affinity.cpp (clip_es::refine_cams), reference/attention_affinity.cpp.
//
// Each block owns chunks of 32 rows of the photos' matrices. It keeps the chunks that fit in its shared memory, and reads the others from
// device memory each time. A sum over a column has two steps: each block adds up its own rows, and after a barrier of all blocks the sums
// of all chunks are added up in their order. So the result does not depend on the number of blocks.
#include <cooperative_groups.h>

#include "ops/cuda/common.cuh"

namespace clip_es::cuda {
namespace {

constexpr int kThreads = 1024, kWarps = kThreads / kWarp;
constexpr int kRows = kAffinityRows, kLabels = kAffinityLabels;
constexpr float kSmallestNormal = 1.17549435e-38f;
static_assert(kThreads >= kRows * kLabels);

struct Work {
  RefineCams in;
  int first_chunk[kMaxPhotos + 1];  // of each photo among the chunks of all photos, and the number of all chunks
  int rounds, labels;               // the most of a photo
  int kept, chunk_size;             // how many chunks each block keeps in shared memory, and the space for each one
};

struct alignas(16) Values {
  float at[kRows][kLabels];
};

// Rows of w that a block owns.
struct Chunk {
  const RefineCamsPhoto& photo;
  int n, chunks;            // of the photo
  int number, first, rows;  // of the chunk in its photo, of its first row, and how many rows it has
  const float* w;           // (rows, n), in device or shared memory
  float* kept;              // where the chunk is kept in shared memory, or null

  __device__ float* column_sums(int chunk, int label) const {
    return photo.column_sums + static_cast<int64_t>(chunk * kLabels + label) * n;
  }
};

// Waits for all threads of all blocks. What they wrote to memory before is visible to all of them afterwards.
__device__ void wait_for_all_blocks() { cooperative_groups::this_grid().sync(); }

// A patch that receives no attention gets the factor 0, because its reciprocal would be infinite.
__device__ float reciprocal(float sum) { return sum > kSmallestNormal ? 1 / sum : 0; }

// Calls use(Chunk) for each chunk of this block, always in the same order.
template <class Use>
__device__ void for_own_chunks(const Work& work, Use use) {
  const int end = work.first_chunk[work.in.photos.count];
  for (int i = static_cast<int>(blockIdx.x), owned = 0, photo = 0; i < end; i += static_cast<int>(gridDim.x), ++owned) {
    while (i >= work.first_chunk[photo + 1]) ++photo;
    const RefineCamsPhoto& in = work.in.photos.photo[photo];
    const int n = static_cast<int>(in.n), number = i - work.first_chunk[photo], first = number * kRows;
    float* const kept = owned < work.kept ? dynamic_shared_memory() + owned * work.chunk_size : nullptr;
    use(Chunk{in, n, work.first_chunk[photo + 1] - work.first_chunk[photo], number, first, n - first < kRows ? n - first : kRows,
              kept ? kept : in.w + first * in.n, kept});
  }
}

// Sums over the rows of the chunk: column_sums (labels, n) = sum_i w_ij value(k, i), one thread per column. values: scratch.
template <int kCount, class Value>
__device__ void sum_columns(const Chunk& chunk, int labels, Values& values, Value value) {
  __syncthreads();  // all threads have read the values of the chunk before, and written what this function reads of their block
  const int k = static_cast<int>(threadIdx.x) % kCount, row = static_cast<int>(threadIdx.x) / kCount;
  if (row < chunk.rows) values.at[row][k] = k < labels ? value(k, row) : 0;
  __syncthreads();
  for (int j = static_cast<int>(threadIdx.x); j < chunk.n; j += kThreads) {
    float sums[kCount] = {};
    for (int i = 0; i < chunk.rows; ++i) {
      const float w = chunk.w[i * chunk.n + j];
      for (int label = 0; label < kCount; ++label) sums[label] += w * values.at[i][label];
    }
    for (int label = 0; label < kCount; ++label)
      if (label < labels) chunk.column_sums(chunk.number, label)[j] = sums[label];
  }
}

// The sum over all rows of the photo of the column that has the number of this chunk's row. Call it after a barrier of all blocks.
__device__ float column_sum(const Chunk& chunk, int label, int row) {
  float sum = 0;
  for (int i = 0; i < chunk.chunks; ++i) sum += chunk.column_sums(i, label)[chunk.first + row];
  return sum;
}

// Calls store(k, row, sum_j (w_ij value(k, j))) for each row of the chunk, one warp per row.
template <int kCount, class Value, class Store>
__device__ void sum_rows(const Chunk& chunk, int labels, Value value, Store store) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  for (int row = static_cast<int>(threadIdx.x) / kWarp; row < chunk.rows; row += kWarps) {
    float sums[kCount] = {};
    for (int j = lane; j < chunk.n; j += kWarp) {
      const float w = chunk.w[row * chunk.n + j];
      for (int k = 0; k < kCount; ++k)
        if (k < labels) sums[k] += w * value(k, j);
    }
    for (int k = 0; k < kCount; ++k) {
      const float sum = warp_sum(sums[k]);
      if (lane == 0 && k < labels) store(k, row, sum);
    }
  }
}

// One round of Sinkhorn, columns and then rows, for the photos that have this round.
__device__ void sinkhorn_round(const Work& work, int round, Values& values) {
  for_own_chunks(work, [&](const Chunk& chunk) {
    const float* const factors = chunk.photo.row_factor + chunk.first;
    if (round < chunk.photo.rounds) sum_columns<1>(chunk, 1, values, [&](int, int row) { return factors[row]; });
  });
  wait_for_all_blocks();
  for_own_chunks(work, [&](const Chunk& chunk) {
    const int row = static_cast<int>(threadIdx.x);
    if (round < chunk.photo.rounds && row < chunk.rows)
      chunk.photo.column_factor[chunk.first + row] = reciprocal(column_sum(chunk, 0, row));
  });
  wait_for_all_blocks();
  for_own_chunks(work, [&](const Chunk& chunk) {
    if (round < chunk.photo.rounds)
      sum_rows<1>(
          chunk, 1, [&](int, int j) { return chunk.photo.column_factor[j]; },
          [&](int, int row, float sum) { chunk.photo.row_factor[chunk.first + row] = reciprocal(sum); });
  });
}

// boxes: null, or 0 where x counts as 0.
struct Maps {
  const float* x;
  const uint8_t* boxes;
  float* y;
};

// y = T x for up to kLabels labels from first_label on. maps_of(photo): the maps of all labels of a photo.
template <class MapsOf>
__device__ void apply_affinity(const Work& work, int first_label, Values& values, MapsOf maps_of) {
  for_own_chunks(work, [&](const Chunk& chunk) {
    const RefineCamsPhoto& photo = chunk.photo;
    const int labels = static_cast<int>(photo.labels) - first_label, before = first_label * chunk.n;
    if (labels <= 0) return;
    const Maps maps = maps_of(photo);
    const auto x = [&](int k, int j) {
      const int at = before + k * chunk.n + j;
      return !maps.boxes || maps.boxes[at] ? maps.x[at] : 0;
    };
    sum_columns<kLabels>(chunk, labels, values,
                         [&](int k, int row) { return photo.row_factor[chunk.first + row] * x(k, chunk.first + row); });
    sum_rows<kLabels>(
        chunk, labels, [&](int k, int j) { return photo.column_factor[j] * x(k, j); },
        [&](int k, int row, float sum) {
          const int i = chunk.first + row;
          maps.y[before + k * chunk.n + i] = photo.row_factor[i] * sum;
        });
  });
  wait_for_all_blocks();
  for_own_chunks(work, [&](const Chunk& chunk) {
    const RefineCamsPhoto& photo = chunk.photo;
    const int k = static_cast<int>(threadIdx.x) / kRows, row = static_cast<int>(threadIdx.x) % kRows, i = chunk.first + row;
    if (k >= kLabels || first_label + k >= photo.labels || row >= chunk.rows) return;
    float& y = maps_of(photo).y[(first_label + k) * chunk.n + i];
    y = (y + photo.column_factor[i] * column_sum(chunk, k, row)) / 2;
  });
}

__global__ void __launch_bounds__(kThreads) refine_cams_kernel(const __grid_constant__ Work work) {
  __shared__ Values values;
  for_own_chunks(work, [&](const Chunk& chunk) {
    const int thread = static_cast<int>(threadIdx.x);
    if (chunk.kept)
      for (int i = thread; i < chunk.rows * chunk.n; i += kThreads) chunk.kept[i] = chunk.photo.w[chunk.first * chunk.photo.n + i];
    if (thread < chunk.rows) chunk.photo.row_factor[chunk.first + thread] = chunk.photo.column_factor[chunk.first + thread] = 1;
  });
  for (int round = 0; round < work.rounds; ++round) sinkhorn_round(work, round, values);
  if (work.rounds == 0) wait_for_all_blocks();  // for the column factors
  for (int label = 0; label < work.labels; label += kLabels) {
    if (label > 0) wait_for_all_blocks();  // all blocks have read the column sums of the labels before
    apply_affinity(work, label, values, [](const RefineCamsPhoto& photo) { return Maps{photo.cams, photo.boxes, photo.product}; });
    wait_for_all_blocks();
    apply_affinity(work, label, values, [](const RefineCamsPhoto& photo) { return Maps{photo.product, nullptr, photo.refined}; });
  }
}

struct GpuLimits {
  int multiprocessors, shared_bytes;  // shared_bytes: that a block may ask for
};

// Of the calling thread's GPU.
cudaError_t get_limits(GpuLimits* limits) {
  int gpu = 0;
  cudaError_t error = cudaGetDevice(&gpu);
  if (!error) error = cudaDeviceGetAttribute(&limits->multiprocessors, cudaDevAttrMultiProcessorCount, gpu);
  if (!error) error = cudaDeviceGetAttribute(&limits->shared_bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, gpu);
  return error;
}

}  // namespace

// At most one block per multiprocessor: each may use all shared memory, and all fit at the same time. With more chunks than blocks, each
// block owns several.
int refine_cams(Stream stream, const RefineCams& args) {
  Work work{args, {}, 0, 0, 0, 0};
  int largest = 0;
  for (int i = 0; i < args.photos.count; ++i) {
    const RefineCamsPhoto& photo = args.photos.photo[i];
    const auto raise = [](int* most, int64_t value) { *most = value > *most ? static_cast<int>(value) : *most; };
    work.first_chunk[i + 1] = work.first_chunk[i] + static_cast<int>(affinity_chunks(photo.n));
    raise(&work.rounds, photo.rounds);
    raise(&work.labels, photo.labels);
    raise(&largest, photo.n);
  }
  const int chunks = work.first_chunk[args.photos.count];
  if (chunks == 0) return cudaSuccess;
  GpuLimits limits{};
  cudaError_t error = get_limits(&limits);
  const int most_bytes = limits.shared_bytes - static_cast<int>(sizeof(Values));
  // The same value for every launch, because another thread may be between these lines.
  if (!error) error = cudaFuncSetAttribute(refine_cams_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, most_bytes);
  if (error) {
    cudaGetLastError();
    return error;
  }
  const int blocks = chunks < limits.multiprocessors ? chunks : limits.multiprocessors;
  const int owned = (chunks + blocks - 1) / blocks, fit = most_bytes / (kRows * largest * static_cast<int>(sizeof(float)));
  work.kept = owned < fit ? owned : fit;
  work.chunk_size = kRows * largest;
  return launch_together(stream, refine_cams_kernel, static_cast<unsigned>(blocks), kThreads, work.kept * work.chunk_size * sizeof(float),
                         work);
}

}  // namespace clip_es::cuda
