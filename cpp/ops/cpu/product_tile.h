// The innermost part of a matrix product: a tile of sums stays in registers while packed rows of x and a packed panel of weights are read
// once, in order. Both consist of 32-bit words along the depth. A word holds one float32, two bfloat16 or four 8-bit integers. The integers
// of rows are signed; those of panels are unsigned with 128 added.
#pragma once
#include <cstdint>

#include "core/precision.h"

namespace clip_es::ops {

// The shape of a tile and the functions that multiply one. Every CPU level has one ProductTile per precision.
struct ProductTile {
  int64_t rows, columns;  // of sums
  int64_t group;          // numbers in a word
  // x (words, rows), panel (words, columns) -> sums (rows, columns), whose rows are `stride` floats apart. All pointers except x must be
  // 64-byte aligned. There is one function per third of a tile, because the last rows of a matrix rarely fill a whole tile.
  using Multiply = void(const uint32_t* x, const uint32_t* panel, int64_t words, float* sums, int64_t stride);
  Multiply* thirds[3];

  // Computes at least the first `count` rows of sums.
  void multiply(const uint32_t* x, const uint32_t* panel, int64_t words, int64_t count, float* sums, int64_t stride) const {
    thirds[(count - 1) * 3 / rows](x, panel, words, sums, stride);
  }
  int64_t words(int64_t depth) const { return (depth + group - 1) / group; }
};

constexpr int64_t kMaxTileRows = 12, kMaxTileColumns = 32;

// A row of 8-bit integers q: x = scale * q, |q| <= 127.
struct RowScale {
  float scale, sum;  // sum of all q
};

// The tile of the CPU level in use. Always the same object for one precision.
const ProductTile& product_tile(Precision);

}  // namespace clip_es::ops
