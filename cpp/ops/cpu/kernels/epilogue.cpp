// The epilogue of a product: the last operations on a tile of sums while it is in the first-level cache.
#include "ops/cpu/kernels.h"
#include "ops/cpu/kernels/vectors.h"

namespace clip_es::ops::CLIP_ES_LEVEL {

void rescale(float* sums, int64_t rows, int64_t columns, int64_t stride, const RowScale* x, const float* weight_scales) {
  for (int64_t r = 0; r < rows; ++r, sums += stride) {
    const float zero = kPanelZero * x[r].sum, scale = x[r].scale;
#pragma omp simd
    for (int64_t c = 0; c < columns; ++c) sums[c] = (sums[c] - zero) * (scale * weight_scales[c]);
  }
}

void add_bias(float* sums, int64_t rows, int64_t columns, int64_t stride, const float* bias) {
  for (int64_t r = 0; r < rows; ++r, sums += stride)
    for (int64_t c = 0; c < columns; ++c) sums[c] += bias[c];
}

void store_tile(const float* sums, int64_t rows, int64_t columns, int64_t stride, const float* bias, bool add, float* y,
                int64_t row_stride) {
  for (int64_t r = 0; r < rows; ++r, sums += stride, y += row_stride)
    if (bias && add)
      for (int64_t c = 0; c < columns; ++c) y[c] += sums[c] + bias[c];
    else if (bias)
      for (int64_t c = 0; c < columns; ++c) y[c] = sums[c] + bias[c];
    else if (add)
      for (int64_t c = 0; c < columns; ++c) y[c] += sums[c];
    else
      for (int64_t c = 0; c < columns; ++c) y[c] = sums[c];
}

}  // namespace clip_es::ops::CLIP_ES_LEVEL
