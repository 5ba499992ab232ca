// Matrices in the order in which tile.h reads them.
#pragma once
#include <cstdint>

#include "ops/cpu/tile.h"
#include "ops/packed_matmul.h"

namespace clip_es::ops {

// A row of 8-bit integers q: x = scale * q, |q| <= 127.
struct RowScale {
  float scale, sum;  // of all q
};

// x (rows, depth), rows `stride` apart -> for every tile_rows rows (words, tile_rows), the last filled up with zeros: with tile.rows rows
// the x of tiles; with tile.columns rows panels, of kInt8 once 128 is added. scales (rows): for kInt8.
void pack_rows(Precision, const float* x, int64_t stride, int64_t rows, int64_t depth, int64_t tile_rows, uint32_t* packed,
               RowScale* scales = nullptr);
// The same of rows that are made one after the other: memory (kRowsMade, depth).
constexpr int64_t kRowsMade = 4;
void pack_rows(Precision, const RowSource& x, float* memory, int64_t rows, int64_t depth, int64_t tile_rows, uint32_t* packed,
               RowScale* scales = nullptr);

// Panels of a matrix that lies the other way: x (depth, columns), rows `stride` apart -> for every tile_columns columns
// (words, tile_columns). Not for kInt8.
void pack_columns(Precision, const float* x, int64_t stride, int64_t depth, int64_t columns, int64_t tile_columns, uint32_t* packed);

// y (rows, columns) = packed rows times panels, all of `words` words; in whole tiles, so that y has room for the rows and columns that the
// last ones have in excess. y is 64-byte aligned.
void multiply_packed(const Tile&, const uint32_t* x, const uint32_t* panels, int64_t words, int64_t rows, int64_t columns, float* y);

inline int64_t round_up(int64_t value, int64_t step) { return (value + step - 1) / step * step; }

}  // namespace clip_es::ops
