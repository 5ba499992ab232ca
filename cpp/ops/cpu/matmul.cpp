#include "ops/matmul.h"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "core/multiversion.h"
#include "ops/cpu/panel_product.h"

namespace clip_es::ops {
namespace {

constexpr int64_t kDotRows = 4;         // rows that share the loads of the vector
constexpr int64_t kSmallestRows = 64;   // of a matrix by a vector: fewer rows cost more in thread calls than they gain
constexpr int64_t kColumnChunk = 4096;  // sums of columns that stay in the first-level cache
constexpr int64_t kDepthChunk = 256;    // terms that are added before they join the total, to keep rounding errors small

// y[r] = row r of m times v, for kDotRows rows that lie `stride` apart.
CLIP_ES_MULTIVERSION void dot_rows(const float* m, int64_t stride, const float* v, int64_t depth, float* y) {
  const float *m0 = m, *m1 = m + stride, *m2 = m + 2 * stride, *m3 = m + 3 * stride;
  float y0 = 0, y1 = 0, y2 = 0, y3 = 0;
#pragma omp simd reduction(+ : y0, y1, y2, y3)
  for (int64_t i = 0; i < depth; ++i) {
    y0 += m0[i] * v[i];
    y1 += m1[i] * v[i];
    y2 += m2[i] * v[i];
    y3 += m3[i] * v[i];
  }
  y[0] = y0, y[1] = y1, y[2] = y2, y[3] = y3;
}

CLIP_ES_MULTIVERSION float dot_row(const float* m, const float* v, int64_t depth) {
  float y = 0;
#pragma omp simd reduction(+ : y)
  for (int64_t i = 0; i < depth; ++i) y += m[i] * v[i];
  return y;
}

// y[j] += the sum of v[i] m[i * stride + j] over i < 4.
CLIP_ES_MULTIVERSION void add_four_rows(const float* m, int64_t stride, const float* v, int64_t columns, float* y) {
  const float *m0 = m, *m1 = m + stride, *m2 = m + 2 * stride, *m3 = m + 3 * stride;
  const float v0 = v[0], v1 = v[1], v2 = v[2], v3 = v[3];
#pragma omp simd
  for (int64_t j = 0; j < columns; ++j) y[j] += v0 * m0[j] + v1 * m1[j] + v2 * m2[j] + v3 * m3[j];
}

// y (m.rows) = m v, where rows of m are contiguous. Blocks begin at multiples of kDotRows, so a row's sum does not depend on the threads.
void multiply_rows(HostContext& context, const MatrixView& m, const float* v, float* y) {
  context.pool.split(
      m.rows, kSmallestRows,
      [&](int64_t begin, int64_t end) {
        int64_t row = begin;
        for (; row + kDotRows <= end; row += kDotRows) dot_rows(m.data + row * m.row_stride, m.row_stride, v, m.columns, y + row);
        for (; row < end; ++row) y[row] = dot_row(m.data + row * m.row_stride, v, m.columns);
      },
      kDotRows);
}

// y (m.rows) = m v, where columns of m are contiguous.
void multiply_columns(HostContext& context, const MatrixView& m, const float* v, float* y) {
  const auto sum_chunk = [&](int64_t first, int64_t count) {
    alignas(64) float sums[kColumnChunk];
    std::fill_n(y + first, count, 0.0f);
    for (int64_t begin = 0; begin < m.columns; begin += kDepthChunk) {
      const int64_t end = std::min(begin + kDepthChunk, m.columns);
      std::fill_n(sums, count, 0.0f);
      int64_t i = begin;
      for (; i + 4 <= end; i += 4) add_four_rows(m.data + i * m.column_stride + first, m.column_stride, v + i, count, sums);
      for (; i < end; ++i) add_scaled(sums, m.data + i * m.column_stride + first, count, v[i]);
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
    const auto gathered = context.arena.take<float>(static_cast<size_t>(m.columns));
    for (int64_t i = 0; i < m.columns; ++i) gathered[static_cast<size_t>(i)] = v[i * stride];
    v = gathered.data();
  }
  if (m.column_stride == 1) multiply_rows(context, m, v, y);
  else multiply_columns(context, m, v, y);
}

// Rows [first, first + count) of m, the numbers [begin, begin + depth) of each, packed `tile_rows` at a time.
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

// All rows of m, shared among the threads.
std::span<uint32_t> pack_all(HostContext& context, const MatrixView& m) {
  const int64_t tile_rows = tile(Precision::kFloat32).rows, block = rows_per_thread(context, m.rows), memory = kRowsMade * m.columns;
  const auto packed = context.arena.take<uint32_t>(static_cast<size_t>(round_up(m.rows, tile_rows) * m.columns));
  Arena::Scope scope(context.arena);
  const auto gathered = context.arena.take<float>(static_cast<size_t>(context.pool.size() * memory));
  context.pool.run((m.rows + block - 1) / block, [&](int64_t index, int worker) {
    const int64_t first = index * block;
    pack(m, first, std::min(block, m.rows - first), 0, m.columns, tile_rows, gathered.data() + worker * memory,
         packed.data() + first * m.columns);
  });
  return packed;
}

// out[i * row_stride + j * column_stride] (+)= (a b)_ij. a should be the smaller matrix: it is packed whole.
void multiply_matrices(HostContext& context, const MatrixView& a, const MatrixView& b, float* out, int64_t row_stride,
                       int64_t column_stride) {
  Arena::Scope scope(context.arena);
  const auto packed = pack_all(context, a);
  const MatrixView columns = transposed(b);
  const auto pack_panel = [&](const PanelRange& p, float* memory, uint32_t* panel) {
    pack(columns, p.column, p.columns, p.begin, p.depth, tile(Precision::kFloat32).columns, memory, panel);
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
