#include "ops/mean_field.h"

#include "ops/cpu/kernels.h"

namespace clip_es::ops {

bool log_scores(const float* scores, int64_t count, float smallest, float* logs) {
  return kernels().log_scores(scores, count, smallest, logs);
}

void mean_field_update(const float* unary, int64_t labels, int64_t count, float* message) {
  kernels().mean_field_update(unary, labels, count, message);
}

void marginals_of(const float* excess, int64_t labels, int64_t count, float* marginals, int64_t step) {
  kernels().marginals_of(excess, labels, count, marginals, step);
}

}  // namespace clip_es::ops
