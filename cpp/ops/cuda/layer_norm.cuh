// The mean and deviation of a row, by one warp.
#pragma once
#include "ops/cuda/common.cuh"

namespace clip_es::cuda {

constexpr float kEpsilon = 1e-5f;

struct Moments {
  float mean, rstd;
};

__device__ inline float rstd_of(float squares, int64_t width) { return 1.0f / sqrtf(squares / static_cast<float>(width) + kEpsilon); }

// Of a row whose elements lane, lane + 32, … were written by this lane, with their sum. All lanes of the warp must call it.
__device__ inline Moments moments_of(const float* x, float sum, int64_t width) {
  const float mean = warp_sum(sum) / static_cast<float>(width);
  float squares = 0;
  for (int64_t c = threadIdx.x % kWarp; c < width; c += kWarp) squares += (x[c] - mean) * (x[c] - mean);
  return {mean, rstd_of(warp_sum(squares), width)};
}

}  // namespace clip_es::cuda
