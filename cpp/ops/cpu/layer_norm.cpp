#include <cmath>

#include "ops/cpu/simd.h"
#include "ops/ops.h"

namespace clip_es::ops {
namespace {

constexpr int64_t kSmallestRows = 64;

struct Moments {
  float mean, rstd;
};

// Two passes: the variance from sums of squares alone would lose the digits that the mean takes.
[[gnu::always_inline]] inline Moments moments(const float* x, int64_t width) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < width; ++i) sum += x[i];
  const float mean = sum / static_cast<float>(width);
  float squares = 0;
#pragma omp simd reduction(+ : squares)
  for (int64_t i = 0; i < width; ++i) squares += (x[i] - mean) * (x[i] - mean);
  return {mean, 1.0f / std::sqrt(squares / static_cast<float>(width) + kLayerNormEpsilon)};
}

CLIP_ES_MULTIVERSION float normalise_row(const float* x, int64_t width, float* x_hat) {
  const Moments m = moments(x, width);
  for (int64_t i = 0; i < width; ++i) x_hat[i] = (x[i] - m.mean) * m.rstd;
  return m.rstd;
}

}  // namespace

CLIP_ES_MULTIVERSION void layer_norm_row(const float* x, int64_t width, const float* gamma, const float* beta, float* y) {
  const Moments m = moments(x, width);
  for (int64_t i = 0; i < width; ++i) y[i] = (x[i] - m.mean) * m.rstd * gamma[i] + beta[i];
}

void layer_norm(Context& context, const float* x, int64_t rows, int64_t width, const float* gamma, const float* beta, float* y) {
  context.pool.split(rows, kSmallestRows, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) layer_norm_row(x + row * width, width, gamma, beta, y + row * width);
  });
}

void normalise_rows(Context& context, const float* x, int64_t rows, int64_t width, float* x_hat, float* rstd) {
  context.pool.split(rows, kSmallestRows, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) rstd[row] = normalise_row(x + row * width, width, x_hat + row * width);
  });
}

}  // namespace clip_es::ops
