// A float32 product whose right operand is packed while it is multiplied. All rows of the left operand are packed once and shared by
// the threads. Each thread packs one panel of the right operand at a time and multiplies all rows by it.
#pragma once
#include <cstdint>

#include "core/context.h"
#include "ops/cpu/pack.h"

namespace clip_es::ops {

// How many numbers of the inner dimension are multiplied at a time. A panel of this depth fits in the second-level cache.
constexpr int64_t kPanelDepth = 768;

// One panel of the right operand: the numbers [begin, begin + depth) of the columns [column, column + columns).
struct PanelRange {
  int64_t column, columns, begin, depth;
};
// Packs a panel as pack_columns does. memory: scratch for (kPackedTogether, depth) floats.
using PackPanel = FunctionRef<void(const PanelRange&, float* memory, uint32_t* panel)>;

// Sums of one tile over one range of the inner dimension. Ranges follow each other from the first to the last.
struct TileSums {
  const float* sums;  // (rows, columns), rows `stride` apart
  int64_t stride, row, rows, column, columns;
  bool first, last;
};
using FinishTile = FunctionRef<void(const TileSums&)>;

// x: `rows` rows of `depth` numbers, packed by pack_rows for float32 tiles. Calls pack and finish from several threads.
void multiply_panels(HostContext&, const uint32_t* x, int64_t rows, int64_t depth, int64_t columns, PackPanel pack, FinishTile finish);

// The rows of a block if the pool's threads share `rows` rows in whole tiles.
int64_t rows_per_thread(const HostContext&, int64_t rows);

}  // namespace clip_es::ops
