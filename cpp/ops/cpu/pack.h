// Packs matrices in the order in which product tiles read them: see product_tile.h.
#pragma once
#include <cstdint>

#include "ops/cpu/product_tile.h"
#include "ops/packed_matmul.h"

namespace clip_es::ops {

// Packs x (rows, depth), whose rows are `stride` floats apart. Every tile_rows rows become (words / chunk, tile_rows, chunk); the last ones
// are padded with zeros. With tile_rows = tile.rows the result is the x of tiles. With tile_rows = tile.columns the result is panels; for
// kInt8 the caller must then add kPanelZero to each integer. scales (rows): written for kInt8 only.
void pack_rows(Precision, const float* x, int64_t stride, int64_t rows, int64_t depth, int64_t tile_rows, uint32_t* packed,
               RowScale* scales = nullptr);
// The same for rows that x computes on demand, four at a time. memory: (kPackedTogether, depth).
constexpr int64_t kPackedTogether = 4;
void pack_rows(Precision, const RowSource& x, float* memory, int64_t rows, int64_t depth, int64_t tile_rows, uint32_t* packed,
               RowScale* scales = nullptr);

// Packs panels of the transposed matrix: x (depth, columns), whose rows are `stride` floats apart -> for every tile_columns columns
// (words / chunk, tile_columns, chunk). Not for kInt8.
void pack_columns(Precision, const float* x, int64_t stride, int64_t depth, int64_t columns, int64_t tile_columns, uint32_t* packed);

// y (rows, columns) = packed rows times panels, both of `words` words. Writes whole tiles: y has round_up(rows, tile.rows) rows of
// round_up(columns, tile.columns) floats and is 64-byte aligned.
void multiply_packed(const ProductTile&, const uint32_t* x, const uint32_t* panels, int64_t words, int64_t rows, int64_t columns, float* y);

inline int64_t round_up(int64_t value, int64_t step) { return (value + step - 1) / step * step; }

// Prefetches floats that are read soon. Use it for short pieces that are far apart, because the CPU cannot predict where the next one is.
inline void prefetch(const float* p, int64_t count) {
  for (int64_t i = 0; i < count; i += 16) __builtin_prefetch(p + i);
}

}  // namespace clip_es::ops
