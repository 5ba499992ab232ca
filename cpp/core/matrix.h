// Views of float32 matrices in host memory.
#pragma once
#include <cstdint>

namespace clip_es {

// Element (i, j) is data[i * row_stride + j * column_stride]. The view does not own the memory.
struct MatrixView {
  const float* data;
  int64_t rows, columns, row_stride, column_stride;
};

inline MatrixView matrix(const float* data, int64_t rows, int64_t columns) { return {data, rows, columns, columns, 1}; }
inline MatrixView transposed(const MatrixView& m) { return {m.data, m.columns, m.rows, m.column_stride, m.row_stride}; }

}  // namespace clip_es
