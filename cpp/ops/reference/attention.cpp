// For each head, P = softmax(q k^T / sqrt(size) + bias), row by row, and out = P v. With causal attention, a row sees itself and earlier
// rows.
#include <cmath>

#include "ops/reference/reference.h"

namespace clip_es::reference {

Attention attention(const Matrix& qkv, int64_t heads, bool causal, const Matrix* bias) {
  const int64_t n = qkv.rows, width = qkv.columns / 3, size = width / heads;
  const double scale = 1 / std::sqrt(static_cast<double>(size));
  Attention result{Matrix(n, width), {}, Matrix(heads, n)};
  for (int64_t head = 0; head < heads; ++head) {
    auto q = [&](int64_t i, int64_t c) { return qkv(i, head * size + c); };
    auto k = [&](int64_t i, int64_t c) { return qkv(i, width + head * size + c); };
    auto v = [&](int64_t i, int64_t c) { return qkv(i, 2 * width + head * size + c); };
    Matrix p(n, n);
    for (int64_t i = 0; i < n; ++i) {
      const int64_t visible = causal ? i + 1 : n;
      std::vector<double> scores(static_cast<size_t>(visible));
      for (int64_t j = 0; j < visible; ++j)
        for (int64_t c = 0; c < size; ++c) scores[j] += q(i, c) * k(j, c);
      for (int64_t j = 0; bias && j < visible; ++j) scores[j] += (*bias)(i, j) / scale;
      const Softmax row = softmax(scores, scale);
      result.log_sum_exp(head, i) = row.log_sum_exp;
      for (int64_t j = 0; j < visible; ++j) p(i, j) = row.probabilities[j];
      for (int64_t j = 0; j < n; ++j)
        for (int64_t c = 0; c < size; ++c) result.out(i, head * size + c) += p(i, j) * v(j, c);
    }
    result.probabilities.push_back(p);
  }
  return result;
}

Matrix mean_over_heads(const Attention& a) {
  const int64_t n = a.out.rows;
  Matrix mean(n, n);
  for (const Matrix& p : a.probabilities)
    for (size_t i = 0; i < mean.values.size(); ++i) mean.values[i] += p.values[i] / static_cast<double>(a.probabilities.size());
  return mean;
}

}  // namespace clip_es::reference
