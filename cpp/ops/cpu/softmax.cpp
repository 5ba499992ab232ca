#include <cmath>

#include "ops/cpu/simd.h"
#include "ops/ops.h"

namespace clip_es::ops {
namespace {

CLIP_ES_MULTIVERSION float largest_of(const float* x, int64_t length) {
  float largest = x[0];
#pragma omp simd reduction(max : largest)
  for (int64_t i = 0; i < length; ++i) largest = x[i] > largest ? x[i] : largest;
  return largest;
}

// x = e^(scale x - shift); -> their sum.
CLIP_ES_MULTIVERSION float fine(float* x, int64_t length, float scale, float shift) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < length; ++i) {
    x[i] = fast_exp(x[i] * scale - shift);
    sum += x[i];
  }
  return sum;
}

CLIP_ES_MULTIVERSION float coarse(float* x, int64_t length, float scale, float shift) {
  constexpr float kLog2E = 1.44269504088896341f;
  const float scale_2 = scale * kLog2E, shift_2 = shift * kLog2E;
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < length; ++i) {
    x[i] = coarse_exp2(x[i] * scale_2 - shift_2);
    sum += x[i];
  }
  return sum;
}

}  // namespace

float ExponentialSum::log_sum_exp() const { return shift + std::log(sum); }

ExponentialSum exponentials(float* x, int64_t length, float scale, Precision precision) {
  const float shift = largest_of(x, length) * scale;  // scale > 0
  const float sum = precision == Precision::kFloat32 ? fine(x, length, scale, shift) : coarse(x, length, scale, shift);
  return {sum, shift};
}

}  // namespace clip_es::ops
