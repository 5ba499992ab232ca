// Rows of one attention head in bfloat16, copied to shared memory for the tensor cores.
#pragma once
#include "ops/cuda/async_copy.cuh"

namespace clip_es::cuda {

constexpr int kHeadSize = 64;            // the only head size of these kernels
constexpr int kVectors = kHeadSize / 8;  // of 16 bytes, in a row of a head
constexpr int kSteps = kHeadSize / 16;   // products for one sum over a head's channels

// Rows of one head in shared memory. The vectors of a row are exchanged depending on the row, so that the same vector of 8 neighbouring
// rows, which load_matrices reads at once, lies in different banks.
template <int kCount>
struct HeadRows {
  alignas(128) BFloat16 rows[kCount][kHeadSize];

  __device__ BFloat16* vector(int row, int vector) { return &rows[row][(vector ^ row % 8) * 8]; }
};

// Starts to copy kCount rows, of which `existing` exist. The others become 0. Thread `thread` of `threads` copies its share of the vectors.
// from: the first row. stride: elements between rows, a multiple of 8.
template <int kCount>
__device__ void start_copy_of_rows(HeadRows<kCount>& to, const BFloat16* from, int64_t stride, int64_t existing, int thread, int threads) {
  for (int i = thread; i < kCount * kVectors; i += threads) {
    const int row = i / kVectors, vector = i % kVectors;
    const bool exists = row < existing;
    start_copy(to.vector(row, vector), from + (exists ? row * stride + vector * 8 : 0), exists);
  }
}

}  // namespace clip_es::cuda
