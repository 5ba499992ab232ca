#include "ops/cpu/kernels/vector_math.h"

namespace clip_es::ops::CLIP_ES_LEVEL {

float exponentials(float* x, int64_t count, float scale, float shift) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < count; ++i) {
    x[i] = fast_exp(x[i] * scale - shift);
    sum += x[i];
  }
  return sum;
}

float coarse_exponentials(float* x, int64_t count, float scale, float shift) {
  const float scale_2 = scale * kLog2E, shift_2 = shift * kLog2E;
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < count; ++i) {
    x[i] = coarse_exp2(x[i] * scale_2 - shift_2);
    sum += x[i];
  }
  return sum;
}

void shifted_exponentials(float* x, int64_t count, float scale, const float* shift) {
  for (int64_t i = 0; i < count; ++i) x[i] = fast_exp(x[i] * scale - shift[i]);
}

}  // namespace clip_es::ops::CLIP_ES_LEVEL
