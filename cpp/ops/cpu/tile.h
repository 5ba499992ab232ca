// The innermost product of matrices: a tile of sums stays in registers while packed rows of x and a packed panel of weights stream past it.
// Both are made of 32-bit words along the depth: one float32, two bfloat16, or four 8-bit integers (signed in rows; plus 128, unsigned, in
// panels).
#pragma once
#include <cstdint>

#include "core/precision.h"

namespace clip_es::ops {

struct Tile {
  int64_t rows, columns;  // of sums
  int64_t group;          // numbers in a word
  // x (words, rows), panel (words, columns) -> sums (rows, columns), rows `stride` apart. 64-byte aligned but for x. One for each third of
  // the rows: computes as many, as the last rows of a matrix seldom fill a tile.
  using Multiply = void(const uint32_t* x, const uint32_t* panel, int64_t words, float* sums, int64_t stride);
  Multiply* thirds[3];

  // The first `count` rows of sums at least.
  void multiply(const uint32_t* x, const uint32_t* panel, int64_t words, int64_t count, float* sums, int64_t stride) const {
    thirds[(count - 1) * 3 / rows](x, panel, words, sums, stride);
  }
  int64_t words(int64_t depth) const { return (depth + group - 1) / group; }
};

constexpr int64_t kMostTileRows = 12, kMostTileColumns = 32;

// The best that this processor has; the same at every call.
const Tile& tile(Precision);

}  // namespace clip_es::ops
