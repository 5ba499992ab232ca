// The innermost part of a matrix product: a tile of sums stays in registers while packed rows of x and a packed panel of weights are read
// once, in order. Both consist of 32-bit words along the depth. A word holds one float32, two bfloat16 or four 8-bit integers.
#pragma once
#include <cstdint>

#include "core/precision.h"

namespace clip_es::ops {

// The shape of a tile and the functions that multiply one. Every CPU level has one ProductTile per precision.
struct ProductTile {
  int64_t rows, columns;  // of sums
  int64_t group;          // numbers in a word
  int64_t chunk;          // words of one row or column that lie side by side; the number of words is a multiple of it
  // x (words / chunk, rows, chunk), panel (words / chunk, columns, chunk) -> sums (rows, columns), whose rows are `stride` floats apart.
  // All pointers except x must be 64-byte aligned. There is one function per third of a tile, because the last rows of a matrix rarely
  // fill a whole tile.
  using Multiply = void(const uint32_t* x, const uint32_t* panel, int64_t words, float* sums, int64_t stride);
  Multiply* thirds[3];

  // Computes at least the first `count` rows of sums.
  void multiply(const uint32_t* x, const uint32_t* panel, int64_t words, int64_t count, float* sums, int64_t stride) const {
    thirds[(count - 1) * 3 / rows](x, panel, words, sums, stride);
  }
  int64_t words(int64_t depth) const { return (depth + group * chunk - 1) / (group * chunk) * chunk; }
};

constexpr int64_t kMaxTileRows = 12, kMaxTileColumns = 32, kMaxChunk = 2;

// The 8-bit integer that stands for 0 in panels. x86's instructions multiply signed integers (of x) by unsigned ones, so 128 is added to
// those of panels. arm64's multiply signed ones.
#if defined(__aarch64__)
constexpr int kPanelZero = 0;
#else
constexpr int kPanelZero = 128;
#endif

// A row of 8-bit integers q: x = scale * q, |q| <= 127.
struct RowScale {
  float scale, sum;  // sum of all q
};

// The tile of the CPU level in use. Always the same object for one precision.
const ProductTile& product_tile(Precision);

}  // namespace clip_es::ops
