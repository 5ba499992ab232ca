#include "ops/cpu/panel_product.h"

#include <algorithm>

namespace clip_es::ops {
namespace {

// The working memory of one thread.
struct Scratch {
  alignas(64) uint32_t panel[kMaxTileColumns * kPanelDepth];
  alignas(64) float memory[kPackedTogether * kPanelDepth];
};

int64_t divide_up(int64_t value, int64_t by) { return (value + by - 1) / by; }

}  // namespace

void multiply_panels(HostContext& context, const uint32_t* x, int64_t rows, int64_t depth, int64_t columns, PackPanel pack,
                     FinishTile finish) {
  const ProductTile& t = product_tile(Precision::kFloat32);
  const int64_t panels = divide_up(columns, t.columns);
  if (rows == 0 || panels == 0) return;
  // If there are fewer panels than threads, threads also share the rows of a panel.
  const int64_t block = round_up(divide_up(rows, divide_up(context.pool.size(), panels)), t.rows), blocks = divide_up(rows, block);
  Arena::Scope scope(context.arena);
  const auto scratch = context.arena.take<Scratch>(context.pool.size());
  context.pool.run(panels * blocks, [&](int64_t index, int worker) {
    Scratch& own = scratch[worker];
    alignas(64) float sums[kMaxTileRows * kMaxTileColumns];
    const int64_t column = index / blocks * t.columns, first_row = index % blocks * block, end_row = std::min(first_row + block, rows);
    PanelRange range{column, std::min(t.columns, columns - column), 0, 0};
    for (; range.begin < depth; range.begin += kPanelDepth) {
      range.depth = std::min(kPanelDepth, depth - range.begin);
      pack(range, own.memory, own.panel);
      const bool first = range.begin == 0, last = range.begin + range.depth == depth;
      for (int64_t row = first_row; row < end_row; row += t.rows) {
        const int64_t here = std::min(t.rows, end_row - row);
        t.multiply(x + row * depth + range.begin * t.rows, own.panel, range.depth, here, sums, t.columns);
        finish({sums, t.columns, row, here, column, range.columns, first, last});
      }
    }
  });
}

int64_t rows_per_thread(const HostContext& context, int64_t rows) {
  return round_up(divide_up(std::max<int64_t>(rows, 1), context.pool.size()), product_tile(Precision::kFloat32).rows);
}

}  // namespace clip_es::ops
