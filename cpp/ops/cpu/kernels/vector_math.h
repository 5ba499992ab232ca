// Elementary functions without branches and calls, so that loops over them vectorise.
#pragma once
#include <cstdint>

#include "ops/cpu/kernels/vectors.h"

namespace clip_es::ops::CLIP_ES_LEVEL {

constexpr float kLog2E = 1.44269504088896341f;
constexpr float kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;  // their sum is ln 2

// 1.5 * 2^23. Adding it to |x| < 2^22 rounds x to the nearest integer, which is then in the low bits of the sum. Subtracting it again gives
// the integer as a float.
constexpr float kRound = 12582912.0f;
constexpr uint32_t kRoundBits = 0x4b400000;

// e^x to about 1 unit in the last place, for x in [-87, 88] only. Cephes' expf: x = n ln 2 + r with |r| <= ln 2 / 2, a polynomial for e^r,
// and n in the exponent. Value is float, or a vector of floats; Bits is uint32_t, or a vector of as many uint32_t.
template <class Bits, class Value>
CLIP_ES_INLINE void exp_unclamped(const Value& x, Value& e) {
  const Value shifted = x * kLog2E + kRound;
  const Value n = shifted - kRound;
  const Value r = x - n * kLn2High - n * kLn2Low;
  Value p = 1.9875691500e-4f * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  const Bits exponent = __builtin_bit_cast(Bits, shifted) - kRoundBits;
  e = p * __builtin_bit_cast(Value, (exponent + 127) << 23);
}

CLIP_ES_INLINE float fast_exp_unclamped(float x) {
  float e;
  exp_unclamped<uint32_t>(x, e);
  return e;
}

// e^x for every x. Below -87 the result is the smallest normal number, and above 88 it is e^88.
CLIP_ES_INLINE float fast_exp(float x) {
  x = x < -87.0f ? -87.0f : x;
  x = x > 88.0f ? 88.0f : x;
  return fast_exp_unclamped(x);
}

// 2^x to 3e-6 for x <= 127; x below -126 gives the smallest normal number. It takes half the time of fast_exp, and is exact enough for
// results that are rounded to bfloat16 (whose unit is 8e-3). The polynomial for 2^f, |f| <= 1 / 2, has the least relative error of its
// degree.
CLIP_ES_INLINE float coarse_exp2(float x) {
  x = x < -126.0f ? -126.0f : x;
  const float shifted = x + kRound;
  const float f = x - (shifted - kRound);
  float p = 0.00957010195f * f + 0.0559178616f;
  p = p * f + 0.240247448f;
  p = p * f + 0.693121815f;
  p = p * f + 0.999999261f;
  // The shift by 23 removes all bits of kRound from `shifted`.
  return __builtin_bit_cast(float, __builtin_bit_cast(uint32_t, p) + (__builtin_bit_cast(uint32_t, shifted) << 23));
}

// 1 - erf(x) for x >= 0, to about 2e-7 of the result while the result is above 1e-38. A Chebyshev fit of log(erfc(x) / t) + x^2 in
// t = 1 / (1 + x / 2): Press et al., "Numerical Recipes", 6.2.
CLIP_ES_INLINE float fast_erfc(float x) {
  const float t = 1.0f / (1.0f + 0.5f * x);
  float p = 0.17087277f;
  p = p * t - 0.82215223f;
  p = p * t + 1.48851587f;
  p = p * t - 1.13520398f;
  p = p * t + 0.27886807f;
  p = p * t - 0.18628806f;
  p = p * t + 0.09678418f;
  p = p * t + 0.37409196f;
  p = p * t + 1.00002368f;
  p = p * t - 1.26551223f;
  return t * fast_exp(p - x * x);
}

// log x to about 2 units in the last place, for positive normal x. Cephes' logf: x = 2^n m with m in [sqrt(1/2), sqrt(2)), and a polynomial
// for log m.
CLIP_ES_INLINE float fast_log(float x) {
  constexpr int32_t kRootOfHalf = 0x3f3504f3;
  const int32_t bits = __builtin_bit_cast(int32_t, x) - kRootOfHalf;
  const float n = static_cast<float>(bits >> 23);
  const float m = __builtin_bit_cast(float, (bits & 0x007fffff) + kRootOfHalf) - 1.0f;
  float p = 7.0376836292e-2f;
  p = p * m - 1.1514610310e-1f;
  p = p * m + 1.1676998740e-1f;
  p = p * m - 1.2420140846e-1f;
  p = p * m + 1.4249322787e-1f;
  p = p * m - 1.6668057665e-1f;
  p = p * m + 2.0000714765e-1f;
  p = p * m - 2.4999993993e-1f;
  p = p * m + 3.3333331174e-1f;
  const float square = m * m;
  return (p * m * square + n * kLn2Low - 0.5f * square + m) + n * kLn2High;
}

}  // namespace clip_es::ops::CLIP_ES_LEVEL
