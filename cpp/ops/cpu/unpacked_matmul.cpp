#include <algorithm>

#include "ops/cpu/kernels.h"
#include "ops/cpu/panel_product.h"
#include "ops/half.h"
#include "ops/matmul.h"

namespace clip_es::ops {
namespace {

// All rows of x, packed for tiles.
std::span<uint32_t> pack_all_rows(HostContext& context, const RowSource& x, int64_t rows, int64_t inputs) {
  const ProductTile& t = product_tile(Precision::kFloat32);
  const int64_t block = rows_per_thread(context, rows);
  const auto packed = context.arena.take<uint32_t>(round_up(rows, t.rows) * inputs);
  Arena::Scope scope(context.arena);
  const auto made = context.arena.take<float>(context.pool.size() * kPackedTogether * inputs);
  context.pool.run((rows + block - 1) / block, [&](int64_t index, int worker) {
    const int64_t first = index * block;
    pack_rows(
        Precision::kFloat32, [&](int64_t row, float* memory) { return x(first + row, memory); },
        made.data() + worker * kPackedTogether * inputs, std::min(block, rows - first), inputs, t.rows, packed.data() + first * inputs);
  });
  return packed;
}

}  // namespace

void unpacked_matmul(HostContext& context, const UnpackedWeight& w, const RowSource& x, int64_t rows, const Epilogue& epilogue, float* y) {
  if (rows == 0) return;
  Arena::Scope scope(context.arena);
  const Kernels& k = kernels();
  const auto packed = pack_all_rows(context, x, rows, w.inputs);
  const auto pack = [&](const PanelRange& p, float* memory, uint32_t* panel) {
    const auto weights = [&](int64_t row, float* widened) -> const float* {
      const int64_t at = (p.column + row) * w.inputs + p.begin;
      if (w.values) return w.values + at;
      from_float16(w.halves + at, p.depth, widened);
      return widened;
    };
    pack_rows(Precision::kFloat32, weights, memory, p.columns, p.depth, product_tile(Precision::kFloat32).columns, panel);
  };
  const auto finish = [&](const TileSums& sums) {
    float* to = y + sums.row * w.outputs + sums.column;
    const float* bias = sums.first && epilogue.bias ? epilogue.bias + sums.column : nullptr;
    k.store_tile(sums.sums, sums.rows, sums.columns, sums.stride, bias, !sums.first || epilogue.add, to, w.outputs);
    if (sums.last && epilogue.activation)
      for (int64_t r = 0; r < sums.rows; ++r) activate(*epilogue.activation, to + r * w.outputs, sums.columns);
  };
  multiply_panels(context, packed.data(), rows, w.inputs, w.outputs, pack, finish);
}

}  // namespace clip_es::ops
