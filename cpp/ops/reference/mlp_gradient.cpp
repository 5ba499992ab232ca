// The formula of ops/gradcam.h, computed for one element of the result at a time.
#include "ops/reference/reference.h"

namespace clip_es::reference {

Matrix mlp_gradient(const ops::MlpGradient& in, const std::vector<float>& composite) {
  Matrix out(in.classes * in.patches, in.width);
  for (int64_t k = 0; k < in.classes; ++k)
    for (int64_t patch = 0; patch < in.patches; ++patch) {
      const double rstd_post = in.rstd_post[patch], rstd_2 = in.rstd_2[patch], b = in.b[k * in.patches + patch];
      std::vector<double> e;
      double e_gamma = 0, e_u = 0;
      for (int64_t i = 0; i < in.hidden; ++i) {
        const double u = in.u[patch * in.hidden + i], omega = in.omega[patch * in.hidden + i], alpha = in.alpha[k * in.hidden + i];
        e.push_back(activation_slope(in.activation, u) * rstd_post * (alpha - b * omega));
        e_gamma += e.back() * in.fc_gamma[i];
        e_u += e.back() * (u - in.fc_offset[i]) / static_cast<double>(in.width);
      }
      for (int64_t c = 0; c < in.width; ++c) {
        double composite_e = 0;
        for (int64_t i = 0; i < in.hidden; ++i) composite_e += composite[c * in.hidden + i] * e[i];
        out(k * in.patches + patch, c) =
            rstd_post * (in.a_out[k * in.width + c] - b * in.z_hat_out[patch * in.width + c]) +
            rstd_2 * (composite_e - e_gamma * in.out_proj_column_sums[c] - e_u * in.h_hat_out[patch * in.width + c]);
      }
    }
  return out;
}

}  // namespace clip_es::reference
