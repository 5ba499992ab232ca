#include <cmath>
#include <numbers>

#include "ops/cpu/simd.h"
#include "ops/ops.h"

namespace clip_es::ops {
namespace {

constexpr int64_t kSmallestCount = 1 << 14;
constexpr float kQuickGelu = 1.702f;

CLIP_ES_MULTIVERSION void quick_gelu(float* u, int64_t count) {
  for (int64_t i = 0; i < count; ++i) u[i] = u[i] / (1.0f + fast_exp(-kQuickGelu * u[i]));
}

CLIP_ES_MULTIVERSION void coarse_quick_gelu(float* u, int64_t count) {
  constexpr float kFactor = -kQuickGelu * std::numbers::log2e_v<float>, kLargest = 126.0f;
  for (int64_t i = 0; i < count; ++i) {
    const float x = kFactor * u[i];
    u[i] = u[i] / (1.0f + coarse_exp2(x < kLargest ? x : kLargest));
  }
}

// (u s(u))' = s + 1.702 u s (1 - s), with s the sigmoid of 1.702 u
CLIP_ES_MULTIVERSION void quick_gelu_slope(const float* u, int64_t count, float* slope) {
  for (int64_t i = 0; i < count; ++i) {
    const float s = 1.0f / (1.0f + fast_exp(-kQuickGelu * u[i]));
    slope[i] = s * (1.0f + kQuickGelu * u[i] * (1.0f - s));
  }
}

// Phi(u)
[[gnu::always_inline]] inline float normal_cdf(float u) {
  const float tail = 0.5f * fast_erfc(std::fabs(u) * (std::numbers::sqrt2_v<float> / 2));  // of what is as far out as u, or further
  return u < 0 ? tail : 1.0f - tail;
}

CLIP_ES_MULTIVERSION void gelu(float* u, int64_t count) {
  for (int64_t i = 0; i < count; ++i) u[i] *= normal_cdf(u[i]);
}

// (u Phi(u))' = Phi + u phi
CLIP_ES_MULTIVERSION void gelu_slope(const float* u, int64_t count, float* slope) {
  const float density = std::numbers::inv_sqrtpi_v<float> / std::numbers::sqrt2_v<float>;
  for (int64_t i = 0; i < count; ++i) slope[i] = normal_cdf(u[i]) + u[i] * density * fast_exp(-0.5f * u[i] * u[i]);
}

CLIP_ES_MULTIVERSION void add_block(float* a, const float* b, int64_t count) {
  for (int64_t i = 0; i < count; ++i) a[i] += b[i];
}

}  // namespace

void activate(HostContext& context, Activation activation, float* u, int64_t count) {
  context.pool.split(count, kSmallestCount, [&](int64_t begin, int64_t end) { activate(activation, u + begin, end - begin); });
}

void activate(Activation activation, float* u, int64_t count, Precision precision) {
  if (activation == Activation::kGelu) gelu(u, count);
  else if (precision == Precision::kFloat32) quick_gelu(u, count);
  else coarse_quick_gelu(u, count);
}

void activation_slope(Activation activation, const float* u, int64_t count, float* slope) {
  (activation == Activation::kQuickGelu ? quick_gelu_slope : gelu_slope)(u, count, slope);
}

CLIP_ES_MULTIVERSION void add_scaled(float* a, const float* b, int64_t count, float factor) {
  for (int64_t i = 0; i < count; ++i) a[i] += factor * b[i];
}

CLIP_ES_MULTIVERSION void scale(float* a, const float* b, int64_t count, float factor) {
  for (int64_t i = 0; i < count; ++i) a[i] = factor * b[i];
}

void add(HostContext& context, float* a, const float* b, int64_t count) {
  context.pool.split(count, kSmallestCount, [&](int64_t begin, int64_t end) { add_block(a + begin, b + begin, end - begin); });
}

}  // namespace clip_es::ops
