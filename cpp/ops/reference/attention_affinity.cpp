// Sinkhorn rounds on T, then T = (T + T^T) / 2 and A = T T. refined = A times the CAM, with the columns of A outside of the box set to 0.
#include "ops/reference/reference.h"

namespace clip_es::reference {

Matrix affinity(const Matrix& attention, int sinkhorn_rounds) {
  const int64_t n = attention.rows;
  Matrix t = attention;
  for (int round = 0; round < sinkhorn_rounds; ++round) {
    for (int64_t j = 0; j < n; ++j) {
      double sum = 0;
      for (int64_t i = 0; i < n; ++i) sum += t(i, j);
      for (int64_t i = 0; i < n; ++i) t(i, j) /= sum;
    }
    for (int64_t i = 0; i < n; ++i) {
      double sum = 0;
      for (int64_t j = 0; j < n; ++j) sum += t(i, j);
      for (int64_t j = 0; j < n; ++j) t(i, j) /= sum;
    }
  }
  Matrix symmetric(n, n);
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < n; ++j) symmetric(i, j) = (t(i, j) + t(j, i)) / 2;
  return matmul(symmetric, symmetric);
}

Matrix refine_cams(const Matrix& attention, const Matrix& cams, const Matrix& boxes, int sinkhorn_rounds) {
  const Matrix a = affinity(attention, sinkhorn_rounds);
  Matrix refined(cams.rows, cams.columns);
  for (int64_t k = 0; k < cams.rows; ++k)
    for (int64_t i = 0; i < cams.columns; ++i)
      for (int64_t j = 0; j < cams.columns; ++j) refined(k, i) += a(i, j) * boxes(k, j) * cams(k, j);
  return refined;
}

}  // namespace clip_es::reference
