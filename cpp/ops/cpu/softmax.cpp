#include <algorithm>
#include <cmath>

#include "ops/cpu/kernels.h"
#include "ops/ops.h"

namespace clip_es::ops {

float ExponentialSum::log_sum_exp() const { return shift + std::log(sum); }

ExponentialSum exponentials(float* x, int64_t length, float scale, Precision precision) {
  const Kernels& k = kernels();
  const float shift = k.largest(x, length) * scale;  // scale > 0
  const float sum = (precision == Precision::kFloat32 ? k.exponentials : k.coarse_exponentials)(x, length, scale, shift);
  return {sum, shift};
}

void softmax_columns(float* x, int64_t rows, int64_t stride, int64_t count, float scale, float* scratch) {
  const Kernels& k = kernels();
  float *const shift = scratch, *const sum = scratch + count;
  std::copy_n(x, count, shift);
  for (int64_t r = 1; r < rows; ++r)
    for (int64_t j = 0; j < count; ++j) shift[j] = std::max(shift[j], x[r * stride + j]);
  k.scale(shift, shift, count, scale);
  std::fill_n(sum, count, 0.0f);
  for (int64_t r = 0; r < rows; ++r) {
    k.shifted_exponentials(x + r * stride, count, scale, shift);
    k.add(sum, x + r * stride, count);
  }
  for (int64_t j = 0; j < count; ++j) sum[j] = 1 / sum[j];
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t j = 0; j < count; ++j) x[r * stride + j] *= sum[j];
}

}  // namespace clip_es::ops
