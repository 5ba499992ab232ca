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

}  // namespace clip_es::ops
