// GradCAM's backward pass through ln_post and the MLP, for a group of classes.
#pragma once
#include <cstdint>

#include "core/context.h"
#include "ops/ops.h"
#include "ops/packed_matmul.h"

namespace clip_es::ops {

// N patches, D width, F hidden (4 D), G classes. cam/softmax_gradcam.cpp explains the names.
struct MlpGradient {
  int64_t patches, width, hidden, classes;
  Activation activation;
  const float *u, *omega;              // (N, F)
  const float *rstd_2, *rstd_post;     // (N)
  const float *h_hat_out, *z_hat_out;  // (N, D)
  const float* alpha;                  // (G, F): W2^T a
  const float* b;                      // (G, N)
  const float* a_out;                  // (G, D): out_proj^T a
  const PackedMatrix* composite;       // (D, F)
  const float *fc_gamma, *fc_offset;   // (F)
  const float* out_proj_column_sums;   // (D)
};

// Computes out_gradient (G, N, D), the gradient of attention's output. With e = act'(u) rstd_post (alpha - b omega), it is
//   rstd_post (a_out - b z_hat_out) + rstd_2 (composite e - (e . fc_gamma) column_sums - (e . (u - fc_offset) / D) h_hat_out)
void mlp_gradient(HostContext&, const MlpGradient&, float* out_gradient);

}  // namespace clip_es::ops
