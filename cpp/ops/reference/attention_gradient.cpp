// The textbook backward pass of softmax attention, with full n x n matrices for each head:
//   dv = P^T dO,  dP = dO v^T,  dS_ij = P_ij (dP_ij - sum_l P_il dP_il),  dq = scale dS k,  dk = scale dS^T q
#include <cmath>

#include "ops/reference/reference.h"

namespace clip_es::reference {
namespace {

Matrix columns(const Matrix& m, int64_t first, int64_t count) {
  Matrix out(m.rows, count);
  for (int64_t i = 0; i < m.rows; ++i)
    for (int64_t j = 0; j < count; ++j) out(i, j) = m(i, first + j);
  return out;
}

void put_columns(Matrix& m, int64_t first, const Matrix& from, double factor) {
  for (int64_t i = 0; i < from.rows; ++i)
    for (int64_t j = 0; j < from.columns; ++j) m(i, first + j) = factor * from(i, j);
}

Matrix softmax_gradient(const Matrix& p, const Matrix& dp) {
  Matrix ds(p.rows, p.columns);
  for (int64_t i = 0; i < p.rows; ++i) {
    double mean = 0;
    for (int64_t j = 0; j < p.columns; ++j) mean += p(i, j) * dp(i, j);
    for (int64_t j = 0; j < p.columns; ++j) ds(i, j) = p(i, j) * (dp(i, j) - mean);
  }
  return ds;
}

}  // namespace

Matrix attention_gradient(const Matrix& qkv, int64_t heads, const Matrix& out_gradient) {
  const int64_t width = qkv.columns / 3, size = width / heads;
  const double scale = 1 / std::sqrt(static_cast<double>(size));
  const Attention forward = attention(qkv, heads, false);
  Matrix gradient(qkv.rows, qkv.columns);
  for (int64_t head = 0; head < heads; ++head) {
    const Matrix q = columns(qkv, head * size, size), k = columns(qkv, width + head * size, size),
                 v = columns(qkv, 2 * width + head * size, size);
    const Matrix& p = forward.probabilities[head];
    const Matrix d_out = columns(out_gradient, head * size, size);
    const Matrix dp = matmul(d_out, transposed(v));
    const Matrix ds = softmax_gradient(p, dp);
    put_columns(gradient, head * size, matmul(ds, k), scale);
    put_columns(gradient, width + head * size, matmul(transposed(ds), q), scale);
    put_columns(gradient, 2 * width + head * size, matmul(transposed(p), d_out), 1);
  }
  return gradient;
}

std::vector<double> sum_over_patches(const Matrix& gradient) {
  std::vector<double> sum(static_cast<size_t>(gradient.columns));
  for (int64_t i = 1; i < gradient.rows; ++i)
    for (int64_t j = 0; j < gradient.columns; ++j) sum[j] += gradient(i, j);
  return sum;
}

}  // namespace clip_es::reference
