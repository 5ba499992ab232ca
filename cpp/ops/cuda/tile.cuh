// Products of float32 tiles: the common part of attention's kernels, which need q k^T of one head and never store it as a whole.
// A block of 256 threads computes 64 x 64 elements of a b^T. Thread 16 y + x owns 4 x 4 of them: rows 4 y to 4 y + 3 and columns 4 x to
// 4 x + 3, so that it reads its operands as two 16-byte vectors.
#pragma once
#include "ops/cuda/common.cuh"

namespace clip_es::cuda {

constexpr int kTile = 64, kTileThreads = 256, kDepth = 16;
constexpr int kPadded = kTile + 4;  // a multiple of 4 for the vectors, with other banks for neighbouring rows

// The rows first .. first + 63 of a matrix in device memory, of fewer than 2^31 elements. Rows from `end` on count as zero.
struct TileRows {
  const float* data;
  int stride, first, end;  // stride: elements between rows
};

// 16 columns of two tiles in shared memory, transposed: [column][row].
struct TilePair {
  alignas(16) float a[kDepth][kPadded], b[kDepth][kPadded];
};

struct Position {
  int row, column;
};

// The first of this thread's 4 x 4 elements.
__device__ inline Position own_elements() { return {static_cast<int>(threadIdx.x) / 16 * 4, static_cast<int>(threadIdx.x) % 16 * 4}; }

// to[column][row] = the columns first .. first + 15 of the rows. Columns from `columns` on become zero.
__device__ inline void load_transposed(const TileRows& rows, int first, int columns, float (&to)[kDepth][kPadded]) {
  for (int i = threadIdx.x; i < kTile * kDepth; i += kTileThreads) {
    const int row = rows.first + i / kDepth, column = first + i % kDepth;
    to[i % kDepth][i / kDepth] = row < rows.end && column < columns ? rows.data[row * rows.stride + column] : 0;
  }
}

// out += the outer product of four values of a and four of b, both 16-byte aligned.
__device__ inline void add_outer(const float* a, const float* b, float (&out)[4][4]) {
  const float4 left = *reinterpret_cast<const float4*>(a), right = *reinterpret_cast<const float4*>(b);
  const float x[4] = {left.x, left.y, left.z, left.w}, y[4] = {right.x, right.y, right.z, right.w};
  for (int i = 0; i < 4; ++i)
    for (int j = 0; j < 4; ++j) out[i][j] += x[i] * y[j];
}

// out = this thread's part of a b^T, over `size` columns. All threads of the block must call it.
__device__ inline void multiply_tiles(TilePair& shared, const TileRows& a, const TileRows& b, int size, float (&out)[4][4]) {
  const Position own = own_elements();
  for (int i = 0; i < 4; ++i)
    for (int j = 0; j < 4; ++j) out[i][j] = 0;
  for (int first = 0; first < size; first += kDepth) {
    __syncthreads();  // all threads have read the previous columns
    load_transposed(a, first, size, shared.a);
    load_transposed(b, first, size, shared.b);
    __syncthreads();
    for (int c = 0; c < kDepth; ++c) add_outer(&shared.a[c][own.row], &shared.b[c][own.column], out);
  }
}

// The sum or maximum over the 16 threads that own the same rows: lanes 0 to 15, or 16 to 31. All lanes must call it.
__device__ inline float row_sum(float x) {
  for (int offset = 8; offset > 0; offset /= 2) x += __shfl_xor_sync(kAllLanes, x, offset);
  return x;
}
__device__ inline float row_max(float x) {
  for (int offset = 8; offset > 0; offset /= 2) x = fmaxf(x, __shfl_xor_sync(kAllLanes, x, offset));
  return x;
}

}  // namespace clip_es::cuda
