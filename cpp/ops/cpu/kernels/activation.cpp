#include "ops/cpu/kernels/vector_math.h"

namespace clip_es::ops::CLIP_ES_LEVEL {
namespace {

constexpr float kQuickGelu = 1.702f;
constexpr float kSqrtHalf = 0.707106781186547524f;
constexpr float kNormalDensityAt0 = 0.398942280401432678f;  // 1 / sqrt(2 pi)

// Phi(u), the normal distribution's cumulative density.
CLIP_ES_INLINE float normal_cdf(float u) {
  const float tail = 0.5f * fast_erfc(__builtin_fabsf(u) * kSqrtHalf);  // the probability of a value beyond |u|
  return u < 0 ? tail : 1.0f - tail;
}

}  // namespace

void quick_gelu(float* u, int64_t count) {
  for (int64_t i = 0; i < count; ++i) u[i] = u[i] / (1.0f + fast_exp(-kQuickGelu * u[i]));
}

void coarse_quick_gelu(float* u, int64_t count) {
  constexpr float kFactor = -kQuickGelu * kLog2E, kLargest = 126.0f;
  for (int64_t i = 0; i < count; ++i) {
    const float x = kFactor * u[i];
    u[i] = u[i] / (1.0f + coarse_exp2(x < kLargest ? x : kLargest));
  }
}

// (u s(u))' = s + 1.702 u s (1 - s), where s is the sigmoid of 1.702 u
void quick_gelu_slope(const float* u, int64_t count, float* slope) {
  for (int64_t i = 0; i < count; ++i) {
    const float s = 1.0f / (1.0f + fast_exp(-kQuickGelu * u[i]));
    slope[i] = s * (1.0f + kQuickGelu * u[i] * (1.0f - s));
  }
}

void gelu(float* u, int64_t count) {
  for (int64_t i = 0; i < count; ++i) u[i] *= normal_cdf(u[i]);
}

// (u Phi(u))' = Phi + u phi
void gelu_slope(const float* u, int64_t count, float* slope) {
  for (int64_t i = 0; i < count; ++i) slope[i] = normal_cdf(u[i]) + u[i] * kNormalDensityAt0 * fast_exp(-0.5f * u[i] * u[i]);
}

}  // namespace clip_es::ops::CLIP_ES_LEVEL
