// The activations and their slopes, for the kernels that need either.
#pragma once
#include "ops/cuda/common.cuh"

namespace clip_es::cuda {

constexpr float kQuickGelu = 1.702f;

__device__ inline float normal_cdf(float u) { return 0.5f * (1.0f + erff(u * 0.70710678f)); }

// exact: u * Phi(u), else u * sigmoid(1.702 u).
__device__ inline float activation(bool exact, float u) { return exact ? u * normal_cdf(u) : u / (1.0f + expf(-kQuickGelu * u)); }

// (u Phi(u))' = Phi + u phi; (u s(u))' = s + 1.702 u s (1 - s)
__device__ inline float activation_slope(bool exact, float u) {
  if (exact) return normal_cdf(u) + u * 0.39894228f * expf(-0.5f * u * u);
  const float s = 1.0f / (1.0f + expf(-kQuickGelu * u));
  return s * (1.0f + kQuickGelu * u * (1.0f - s));
}

}  // namespace clip_es::cuda
