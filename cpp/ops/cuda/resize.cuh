// One byte of Pillow's resize: clamp((2^21 + sum of byte * weight) >> 22), with integer weights.
#pragma once
#include "ops/cuda/common.cuh"

namespace clip_es::cuda {

constexpr int kFractionBits = 22;
constexpr int32_t kHalf = 1 << (kFractionBits - 1);

__device__ inline uint8_t to_byte(int32_t sum) {
  const int32_t value = sum >> kFractionBits;
  return static_cast<uint8_t>(value < 0 ? 0 : value > 255 ? 255 : value);
}

// Row `y` of a resized column. column: its first byte. stride: bytes between rows.
__device__ inline uint8_t resized_byte(const ResizeTaps& taps, int y, const uint8_t* column, int stride) {
  const uint8_t* from = column + static_cast<int64_t>(taps.first[y]) * stride;
  const int32_t* weight = taps.weights + y * taps.stride;
  const int count = taps.count[y];
  int32_t sum = kHalf;
  for (int i = 0; i < count; ++i) sum += from[static_cast<int64_t>(i) * stride] * weight[i];
  return to_byte(sum);
}

}  // namespace clip_es::cuda
