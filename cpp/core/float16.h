// The two 16-bit floating-point formats, one number at a time: IEEE binary16 (float16) and bfloat16. ops/half.h converts arrays.
//
// Every function computes all its cases and selects one, so that loops over them vectorise. They are always inlined: the kernels include
// this file, and no copy of a function that was compiled for a newer CPU may reach the linker.
#pragma once
#include <cstdint>

namespace clip_es {

constexpr uint32_t kFloat16Rebias = uint32_t{127 - 15} << 23;  // the difference between the exponent biases of float32 and float16
constexpr int kFloat16MantissaShift = 23 - 10;
constexpr float kFloat16Unit = 0x1p-24f;  // of subnormal float16 numbers

// Finite numbers only. Subnormal ones are computed from their integer, because the CPU may treat subnormal float32 as zero.
[[gnu::always_inline]] inline float finite_float16_to_float(uint16_t half) {
  const uint32_t magnitude = half & 0x7fffu, sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  const auto subnormal = __builtin_bit_cast(uint32_t, static_cast<float>(static_cast<int32_t>(magnitude)) * kFloat16Unit);
  const uint32_t normal = (magnitude << kFloat16MantissaShift) + kFloat16Rebias;
  return __builtin_bit_cast(float, (magnitude < 0x400u ? subnormal : normal) | sign);
}

// All numbers, including infinity and NaN.
[[gnu::always_inline]] inline float float16_to_float(uint16_t half) {
  const uint32_t magnitude = half & 0x7fffu, sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  const uint32_t special = (magnitude << kFloat16MantissaShift) | 0x7f800000u | sign;  // infinity or NaN
  const auto finite = __builtin_bit_cast(uint32_t, finite_float16_to_float(half));
  return __builtin_bit_cast(float, magnitude < 0x7c00u ? finite : special);
}

// Rounds towards zero. Numbers beyond the largest float16 become zero.
[[gnu::always_inline]] inline uint16_t truncate_to_float16(float value) {
  constexpr float kSmallestNormal = 0x1p-14f, kLargest = 65504.0f;
  const auto bits = __builtin_bit_cast(uint32_t, value);
  const float size = __builtin_fabsf(value);
  const auto sign = static_cast<uint16_t>(bits >> 16 & 0x8000u);
  if (size > kLargest) return sign;
  if (size < kSmallestNormal) return static_cast<uint16_t>(sign | static_cast<uint16_t>(size / kFloat16Unit));
  return static_cast<uint16_t>(sign | ((bits & 0x7fffffffu) - kFloat16Rebias) >> kFloat16MantissaShift);
}

[[gnu::always_inline]] inline float bfloat16_to_float(uint16_t half) {
  return __builtin_bit_cast(float, static_cast<uint32_t>(half) << 16);
}

// Rounds to nearest, ties to even. Finite numbers only.
[[gnu::always_inline]] inline uint16_t float_to_bfloat16(float value) {
  const auto bits = __builtin_bit_cast(uint32_t, value);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

}  // namespace clip_es
