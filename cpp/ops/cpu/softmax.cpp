#include <cmath>

#include "ops/cpu/simd.h"
#include "ops/ops.h"

namespace clip_es::ops {

CLIP_ES_MULTIVERSION ExponentialSum exponentials(float* x, int64_t length, float scale) {
  float largest = x[0];
#pragma omp simd reduction(max : largest)
  for (int64_t i = 0; i < length; ++i) largest = x[i] > largest ? x[i] : largest;
  const float shift = largest * scale;  // scale > 0
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < length; ++i) {
    x[i] = fast_exp(x[i] * scale - shift);
    sum += x[i];
  }
  return {sum, shift + std::log(sum)};
}

}  // namespace clip_es::ops
