// (a b)_ij = sum_k a_ik b_kj
#include "ops/reference/reference.h"

namespace clip_es::reference {

Matrix::Matrix(int64_t row_count, int64_t column_count)
    : rows(row_count), columns(column_count), values(static_cast<size_t>(row_count * column_count)) {}

Matrix::Matrix(int64_t row_count, int64_t column_count, std::span<const float> from) : Matrix(row_count, column_count) {
  for (size_t i = 0; i < values.size(); ++i) values[i] = from[i];
}

Matrix matmul(const Matrix& a, const Matrix& b) {
  Matrix out(a.rows, b.columns);
  for (int64_t i = 0; i < a.rows; ++i)
    for (int64_t k = 0; k < a.columns; ++k)
      for (int64_t j = 0; j < b.columns; ++j) out(i, j) += a(i, k) * b(k, j);
  return out;
}

Matrix transposed(const Matrix& m) {
  Matrix out(m.columns, m.rows);
  for (int64_t i = 0; i < m.rows; ++i)
    for (int64_t j = 0; j < m.columns; ++j) out(j, i) = m(i, j);
  return out;
}

Matrix add(const Matrix& a, const Matrix& b) {
  Matrix out = a;
  for (size_t i = 0; i < out.values.size(); ++i) out.values[i] += b.values[i];
  return out;
}

Matrix without_first_row(const Matrix& m) {
  Matrix out(m.rows - 1, m.columns);
  for (int64_t i = 1; i < m.rows; ++i)
    for (int64_t j = 0; j < m.columns; ++j) out(i - 1, j) = m(i, j);
  return out;
}

Matrix linear(const Matrix& x, const LinearWeights& w) {
  Matrix out = matmul(x, transposed(w.weight));
  for (int64_t i = 0; i < out.rows; ++i)
    for (int64_t j = 0; j < out.columns; ++j) out(i, j) += w.bias[j];
  return out;
}

}  // namespace clip_es::reference
