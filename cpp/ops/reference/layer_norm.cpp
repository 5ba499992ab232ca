// x_hat_i = (x_i - mean) * rstd, rstd = 1 / sqrt(variance + epsilon); y_i = x_hat_i * gamma_i + beta_i
#include <cmath>

#include "ops/reference/reference.h"

namespace clip_es::reference {

NormalisedRows normalise_rows(const Matrix& x) {
  NormalisedRows out{Matrix(x.rows, x.columns), {}};
  for (int64_t row = 0; row < x.rows; ++row) {
    double mean = 0, variance = 0;
    for (int64_t i = 0; i < x.columns; ++i) mean += x(row, i) / static_cast<double>(x.columns);
    for (int64_t i = 0; i < x.columns; ++i) variance += (x(row, i) - mean) * (x(row, i) - mean) / static_cast<double>(x.columns);
    const double rstd = 1 / std::sqrt(variance + 1e-5);
    for (int64_t i = 0; i < x.columns; ++i) out.x_hat(row, i) = (x(row, i) - mean) * rstd;
    out.rstd.push_back(rstd);
  }
  return out;
}

Matrix layer_norm(const Matrix& x, const LayerNormWeights& w) {
  Matrix y = normalise_rows(x).x_hat;
  for (int64_t row = 0; row < y.rows; ++row)
    for (int64_t i = 0; i < y.columns; ++i) {
      const auto column = static_cast<size_t>(i);
      y(row, i) = y(row, i) * w.gamma[column] + w.beta[column];
    }
  return y;
}

// With g = gamma * dy: dx = rstd * (g - mean(g) - x_hat * mean(g * x_hat)), with means over one row.
Matrix layer_norm_gradient(const Matrix& x, const LayerNormWeights& w, const Matrix& out_gradient) {
  const auto [x_hat, rstd] = normalise_rows(x);
  Matrix dx(x.rows, x.columns);
  for (int64_t row = 0; row < x.rows; ++row) {
    auto g = [&](int64_t i) { return w.gamma[i] * out_gradient(row, i); };
    double mean_g = 0, mean_g_x_hat = 0;
    for (int64_t i = 0; i < x.columns; ++i) {
      mean_g += g(i) / static_cast<double>(x.columns);
      mean_g_x_hat += g(i) * x_hat(row, i) / static_cast<double>(x.columns);
    }
    for (int64_t i = 0; i < x.columns; ++i) dx(row, i) = rstd[row] * (g(i) - mean_g - x_hat(row, i) * mean_g_x_hat);
  }
  return dx;
}

}  // namespace clip_es::reference
