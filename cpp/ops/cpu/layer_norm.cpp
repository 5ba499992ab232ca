#include <cmath>

#include "core/multiversion.h"
#include "ops/cpu/vectors.h"
#include "ops/ops.h"

namespace clip_es::ops {
namespace {

constexpr int64_t kSmallestRows = 64;

struct Moments {
  float mean, rstd;
};

// Of (x - from)^power, by several sums side by side: one would wait for each addition.
template <int kPower>
CLIP_ES_INLINE float sum_of(const float* x, int64_t width, float from) {
  constexpr int64_t kSums = 4;
  Float8 sums[kSums] = {};
  int64_t i = 0;
  for (; i + 8 * kSums <= width; i += 8 * kSums)
    for (int64_t k = 0; k < kSums; ++k) {
      Float8 value;
      load(value, x + i + 8 * k);
      value -= from;
      sums[k] += kPower == 2 ? value * value : value;
    }
  const Float8 all = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  float sum = 0;
  for (int64_t k = 0; k < 8; ++k) sum += all[k];
  for (; i < width; ++i) sum += kPower == 2 ? (x[i] - from) * (x[i] - from) : x[i] - from;
  return sum;
}

// Two passes: the variance from sums of squares alone would lose the digits that the mean takes.
CLIP_ES_INLINE Moments moments(const float* x, int64_t width) {
  const float mean = sum_of<1>(x, width, 0) / static_cast<float>(width);
  return {mean, 1.0f / std::sqrt(sum_of<2>(x, width, mean) / static_cast<float>(width) + kLayerNormEpsilon)};
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

void layer_norm(HostContext& context, const float* x, int64_t rows, int64_t width, const float* gamma, const float* beta, float* y) {
  context.pool.split(rows, kSmallestRows, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) layer_norm_row(x + row * width, width, gamma, beta, y + row * width);
  });
}

void normalise_rows(HostContext& context, const float* x, int64_t rows, int64_t width, float* x_hat, float* rstd) {
  context.pool.split(rows, kSmallestRows, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) rstd[row] = normalise_row(x + row * width, width, x_hat + row * width);
  });
}

}  // namespace clip_es::ops
