// The rows of GradCAM's backward pass through attention and the MLP.
#include "ops/cpu/kernels.h"
#include "ops/cpu/kernels/vectors.h"

namespace clip_es::ops::CLIP_ES_LEVEL {

void gather_row(const float* gradient, const float* out, const float* class_value, const float* query, int64_t size, float probability,
                float scale, float* row, float* key_sums, float* value_sums) {
  float delta = 0, value_gradient = 0;
#pragma omp simd reduction(+ : delta, value_gradient)
  for (int64_t i = 0; i < size; ++i) {
    delta += gradient[i] * out[i];
    value_gradient += gradient[i] * class_value[i];
  }
  const float factor = -scale * probability * (value_gradient - delta);
#pragma omp simd
  for (int64_t i = 0; i < size; ++i) {
    row[i] = gradient[i];
    key_sums[i] += factor * query[i];
    value_sums[i] += (1 - probability) * gradient[i];
  }
  row[size] = delta;
}

void add_key(const float* product, const float* value, const float* key, int64_t size, float scale, float* query_sums) {
  float value_gradient = 0;
#pragma omp simd reduction(+ : value_gradient)
  for (int64_t i = 0; i < size; ++i) value_gradient += product[i] * value[i];
  const float factor = scale * (value_gradient - product[size]);
#pragma omp simd
  for (int64_t i = 0; i < size; ++i) query_sums[i] += factor * key[i];
}

// e = slope (alpha - b omega) and its two sums, in one pass.
MlpGradientSums mlp_gradient_e(const MlpGradientRow& in, const float* slope, float* e) {
  const float *alpha = in.alpha, *omega = in.omega, *u = in.u, *fc_gamma = in.fc_gamma, *fc_offset = in.fc_offset;
  const float b = in.b;
  const int64_t hidden = in.hidden;
  float gamma_sum = 0, u_sum = 0;
#pragma omp simd reduction(+ : gamma_sum, u_sum)
  for (int64_t i = 0; i < hidden; ++i) {
    const float value = slope[i] * (alpha[i] - b * omega[i]);
    e[i] = value;
    gamma_sum += value * fc_gamma[i];
    u_sum += value * (u[i] - fc_offset[i]);
  }
  return {gamma_sum, u_sum / in.width};
}

void mlp_gradient_row(const MlpGradientRow& in, MlpGradientSums sums, const float* product, float* out_gradient) {
  const float *a_out = in.a_out, *h = in.h_hat_out, *z = in.z_hat_out, *columns = in.out_proj_column_sums;
  const float b = in.b, rstd_2 = in.rstd_2, rstd_post = in.rstd_post;
  const int64_t width = in.width;
  for (int64_t c = 0; c < width; ++c)
    out_gradient[c] = rstd_post * (a_out[c] - b * z[c]) + rstd_2 * (product[c] - sums.gamma * columns[c] - sums.u * h[c]);
}

}  // namespace clip_es::ops::CLIP_ES_LEVEL
