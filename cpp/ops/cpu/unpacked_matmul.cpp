#include <algorithm>

#include "ops/cpu/kernels.h"
#include "ops/cpu/panel_product.h"
#include "ops/half.h"
#include "ops/matmul.h"

namespace clip_es::ops {
namespace {

constexpr int64_t kFewRows = 56;          // with fewer rows of x, packing the weights takes longer than the product
constexpr int64_t kDotRows = 4;           // rows of Kernels::dot_rows_by_four
constexpr int64_t kSmallestOutputs = 64;  // per thread

// Rows [first, first + count) of the weights in float32: the stored ones, or a copy in `memory`.
const float* widen_rows(const UnpackedWeight& w, int64_t first, int64_t count, float* memory) {
  if (w.values) return w.values + first * w.inputs;
  from_float16(w.halves + first * w.inputs, count * w.inputs, memory);
  return memory;
}

// Prefetches the rows of weights that widen_rows() reads next.
void prefetch_rows(const UnpackedWeight& w, int64_t first, int64_t count) {
  constexpr int64_t kLine = 64;
  const int64_t size = w.values ? sizeof(float) : sizeof(uint16_t);
  const auto* data = w.values ? reinterpret_cast<const char*>(w.values) : reinterpret_cast<const char*>(w.halves);
  for (int64_t i = 0; i < count * w.inputs * size; i += kLine) __builtin_prefetch(data + first * w.inputs * size + i);
}

// For few rows of x: a dot product for each element of y, so that the weights are read once and never packed.
void multiply_few_rows(HostContext& context, const UnpackedWeight& w, const RowSource& x, int64_t rows, const Epilogue& epilogue,
                       float* y) {
  Arena::Scope scope(context.arena);
  const Kernels& k = kernels();
  const auto row_memory = context.arena.take<float>(rows * w.inputs);
  const auto inputs = context.arena.take<const float*>(rows);
  for (int64_t r = 0; r < rows; ++r) inputs[r] = x(r, row_memory.data() + r * w.inputs);
  const auto widened = context.arena.take<float>(context.pool.size() * kDotRows * w.inputs);
  const int64_t blocks = (w.outputs + kSmallestOutputs - 1) / kSmallestOutputs;
  // x may be computed from y, so y is written only after all rows of x were read.
  const auto sums = context.arena.take<float>(rows * w.outputs);
  context.pool.run(blocks, [&](int64_t block, int worker) {
    const int64_t end = std::min((block + 1) * kSmallestOutputs, w.outputs);
    for (int64_t o = block * kSmallestOutputs; o < end; o += kDotRows) {
      const int64_t count = std::min(kDotRows, end - o);
      const float* weight = widen_rows(w, o, count, widened.data() + worker * kDotRows * w.inputs);
      prefetch_rows(w, o + count, std::min(kDotRows, w.outputs - o - count));
      float* to = sums.data() + o;
      if (count == kDotRows) k.dot_rows_by_four(weight, w.inputs, inputs.data(), rows, w.inputs, to, w.outputs);
      else
        for (int64_t r = 0; r < rows; ++r)
          for (int64_t c = 0; c < count; ++c) to[r * w.outputs + c] = k.dot(weight + c * w.inputs, inputs[r], w.inputs);
    }
  });
  k.store_tile(sums.data(), rows, w.outputs, w.outputs, epilogue.bias, epilogue.add, y, w.outputs);
  if (epilogue.activation) activate(*epilogue.activation, y, rows * w.outputs);
}

// Packs all rows of x for tiles.
std::span<uint32_t> pack_all_rows(HostContext& context, const RowSource& x, int64_t rows, int64_t inputs) {
  const ProductTile& t = product_tile(Precision::kFloat32);
  const int64_t block = rows_per_thread(context, rows);
  const auto packed = context.arena.take<uint32_t>(round_up(rows, t.rows) * inputs);
  Arena::Scope scope(context.arena);
  const auto row_memory = context.arena.take<float>(context.pool.size() * kPackedTogether * inputs);
  context.pool.run((rows + block - 1) / block, [&](int64_t index, int worker) {
    const int64_t first = index * block;
    pack_rows(
        Precision::kFloat32, [&](int64_t row, float* memory) { return x(first + row, memory); },
        row_memory.data() + worker * kPackedTogether * inputs, std::min(block, rows - first), inputs, t.rows,
        packed.data() + first * inputs);
  });
  return packed;
}

}  // namespace

void unpacked_matmul(HostContext& context, const UnpackedWeight& w, const RowSource& x, int64_t rows, const Epilogue& epilogue, float* y) {
  if (rows == 0) return;
  if (rows < kFewRows) return multiply_few_rows(context, w, x, rows, epilogue, y);
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
