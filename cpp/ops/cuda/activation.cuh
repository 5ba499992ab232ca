// GELU, quick GELU and their derivatives. Twin: ops/cpu/activation.cpp.
#pragma once
#include "ops/cuda/common.cuh"

namespace clip_es::cuda {

constexpr float kQuickGelu = 1.702f;

__device__ inline float normal_cdf(float u) { return 0.5f * (1.0f + erff(u * 0.70710678f)); }

// GELU: u * Phi(u). Quick GELU: u * sigmoid(1.702 u).
__device__ inline float activation(bool exact_gelu, float u) { return exact_gelu ? u * normal_cdf(u) : u / (1.0f + expf(-kQuickGelu * u)); }

// The derivative of activation(). GELU: Phi(u) + u * phi(u). Quick GELU, with s = sigmoid(1.702 u): s + 1.702 u s (1 - s).
__device__ inline float activation_derivative(bool exact_gelu, float u) {
  if (exact_gelu) return normal_cdf(u) + u * 0.39894228f * expf(-0.5f * u * u);
  const float s = 1.0f / (1.0f + expf(-kQuickGelu * u));
  return s * (1.0f + kQuickGelu * u * (1.0f - s));
}

}  // namespace clip_es::cuda
