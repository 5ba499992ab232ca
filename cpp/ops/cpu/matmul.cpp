#include "ops/matmul.h"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "ops/cpu/kernels.h"
#include "ops/cpu/panel_product.h"

namespace clip_es::ops {
namespace {

constexpr int64_t kDotRows = 4;         // rows of Kernels::dot_four_rows
constexpr int64_t kSmallestRows = 64;   // per thread, for a matrix times a vector: fewer rows take less time than starting a thread's work
constexpr int64_t kColumnChunk = 4096;  // sums of columns that stay in the first-level cache
constexpr int64_t kDepthChunk = 256;    // terms that are summed before this sum is added to the total, so that rounding errors stay small

// y (m.rows) = m v, where rows of m are contiguous. Blocks begin at multiples of kDotRows, so a row's sum does not depend on the threads.
void multiply_rows(HostContext& context, const MatrixView& m, const float* v, float* y) {
  const Kernels& k = kernels();
  context.pool.split(
      m.rows, kSmallestRows,
      [&](int64_t begin, int64_t end) {
        int64_t row = begin;
        for (; row + kDotRows <= end; row += kDotRows) k.dot_four_rows(m.data + row * m.row_stride, m.row_stride, v, m.columns, y + row);
        for (; row < end; ++row) y[row] = k.dot(m.data + row * m.row_stride, v, m.columns);
      },
      kDotRows);
}

// y (m.rows) = m v, where columns of m are contiguous.
void multiply_columns(HostContext& context, const MatrixView& m, const float* v, float* y) {
  const Kernels& k = kernels();
  const auto sum_chunk = [&](int64_t first, int64_t count) {
    alignas(64) float sums[kColumnChunk];
    std::fill_n(y + first, count, 0.0f);
    for (int64_t begin = 0; begin < m.columns; begin += kDepthChunk) {
      const int64_t end = std::min(begin + kDepthChunk, m.columns);
      std::fill_n(sums, count, 0.0f);
      int64_t i = begin;
      for (; i + 4 <= end; i += 4) k.add_four_rows(m.data + i * m.column_stride + first, m.column_stride, v + i, count, sums);
      for (; i < end; ++i) k.add_scaled(sums, m.data + i * m.column_stride + first, count, v[i]);
      for (int64_t j = 0; j < count; ++j) y[first + j] += sums[j];
    }
  };
  constexpr int64_t kWidestVector = 16;  // blocks of whole vectors, so a sum does not depend on the threads
  context.pool.split(
      m.rows, kSmallestRows,
      [&](int64_t begin, int64_t end) {
        for (int64_t first = begin; first < end; first += kColumnChunk) sum_chunk(first, std::min(kColumnChunk, end - first));
      },
      kWidestVector);
}

// y (m.rows) = m v, v `stride` apart.
void multiply_vector(HostContext& context, const MatrixView& m, const float* v, int64_t stride, float* y) {
  Arena::Scope scope(context.arena);
  if (stride != 1) {
    const auto gathered = context.arena.take<float>(m.columns);
    for (int64_t i = 0; i < m.columns; ++i) gathered[i] = v[i * stride];
    v = gathered.data();
  }
  if (m.column_stride == 1) multiply_rows(context, m, v, y);
  else multiply_columns(context, m, v, y);
}

// Packs the numbers [begin, begin + depth) of rows [first, first + count) of m, `tile_rows` rows at a time.
void pack(const MatrixView& m, int64_t first, int64_t count, int64_t begin, int64_t depth, int64_t tile_rows, float* memory,
          uint32_t* packed) {
  const float* data = m.data + first * m.row_stride + begin * m.column_stride;
  if (m.column_stride == 1) return pack_rows(Precision::kFloat32, data, m.row_stride, count, depth, tile_rows, packed);
  if (m.row_stride == 1) return pack_columns(Precision::kFloat32, data, m.column_stride, depth, count, tile_rows, packed);
  const auto gather = [&](int64_t row, float* to) {
    for (int64_t i = 0; i < depth; ++i) to[i] = data[row * m.row_stride + i * m.column_stride];
    return to;
  };
  pack_rows(Precision::kFloat32, gather, memory, count, depth, tile_rows, packed);
}

// Packs all rows of m. The threads share them.
std::span<uint32_t> pack_all(HostContext& context, const MatrixView& m) {
  const int64_t tile_rows = product_tile(Precision::kFloat32).rows, block = rows_per_thread(context, m.rows),
                memory = kPackedTogether * m.columns;
  const auto packed = context.arena.take<uint32_t>(round_up(m.rows, tile_rows) * m.columns);
  Arena::Scope scope(context.arena);
  const auto gathered = context.arena.take<float>(context.pool.size() * memory);
  context.pool.run((m.rows + block - 1) / block, [&](int64_t index, int worker) {
    const int64_t first = index * block;
    pack(m, first, std::min(block, m.rows - first), 0, m.columns, tile_rows, gathered.data() + worker * memory,
         packed.data() + first * m.columns);
  });
  return packed;
}

// out[i * row_stride + j * column_stride] (+)= (a b)_ij. a should be the smaller matrix, because all of it is packed at once.
void multiply_matrices(HostContext& context, const MatrixView& a, const MatrixView& b, float* out, int64_t row_stride,
                       int64_t column_stride) {
  Arena::Scope scope(context.arena);
  const auto packed = pack_all(context, a);
  const MatrixView columns = transposed(b);
  const auto pack_panel = [&](const PanelRange& p, float* memory, uint32_t* panel) {
    pack(columns, p.column, p.columns, p.begin, p.depth, product_tile(Precision::kFloat32).columns, memory, panel);
  };
  const auto store = [&](const TileSums& t) {
    for (int64_t c = 0; c < t.columns; ++c)
      for (int64_t r = 0; r < t.rows; ++r) {
        float& to = out[(t.row + r) * row_stride + (t.column + c) * column_stride];
        to = t.sums[r * t.stride + c] + (t.first ? 0 : to);
      }
  };
  multiply_panels(context, packed.data(), a.rows, a.columns, b.columns, pack_panel, store);
}

}  // namespace

void matmul(HostContext& context, const MatrixView& a, const MatrixView& b, float* out) {
  if (a.columns != b.rows)
    throw std::logic_error("Cannot multiply matrices whose inner dimensions differ: " + std::to_string(a.columns) + " and " +
                           std::to_string(b.rows) + ".");
  const auto is_contiguous = [](const MatrixView& m) { return m.row_stride == 1 || m.column_stride == 1; };
  if (a.columns == 0) std::fill_n(out, a.rows * b.columns, 0.0f);
  else if (b.columns == 1 && is_contiguous(a)) multiply_vector(context, a, b.data, b.row_stride, out);
  else if (a.rows == 1 && is_contiguous(b)) multiply_vector(context, transposed(b), a.data, a.column_stride, out);
  else if (a.rows <= b.columns) multiply_matrices(context, a, b, out, b.columns, 1);
  else multiply_matrices(context, transposed(b), transposed(a), out, 1, b.columns);
}

}  // namespace clip_es::ops
