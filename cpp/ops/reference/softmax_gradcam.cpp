// GradCAM in reverse mode through the last block, ln_post, the mean over patches, the projection, the cosine and the softmax. For each
// class the Jacobians are applied one after the other, with full n x n attention matrices. Names are as in cam/softmax_gradcam.cpp.
#include <algorithm>
#include <cmath>

#include "ops/reference/reference.h"

namespace clip_es::reference {
namespace {

struct Forward {
  Matrix y, qkv, x1, u, x2;  // (n, ...): outputs of ln_1 and in_proj, the stream after attention, c_fc's output, the stream after the MLP
  std::vector<double> f, f_hat;  // (E): the image's embedding, before and after normalisation to length 1
  double length;                 // of f
};

std::vector<double> times(const Matrix& m, std::span<const double> v) {
  std::vector<double> out(static_cast<size_t>(m.rows));
  for (int64_t i = 0; i < m.rows; ++i)
    for (int64_t j = 0; j < m.columns; ++j) out[i] += m(i, j) * v[j];
  return out;
}

double dot(std::span<const double> a, std::span<const double> b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

// y replaces ln_1(x): GradCAM differentiates with respect to y, and not through the residual stream x.
Forward forward_pass(const GradCamInput& in, const Matrix& x, const Matrix& y) {
  const BlockWeights& w = in.block;
  Forward s;
  s.y = y;
  s.qkv = linear(s.y, w.in_proj);
  s.x1 = add(x, linear(attention(s.qkv, w.heads, false).out, w.out_proj));
  s.u = linear(layer_norm(s.x1, w.ln_2), w.c_fc);
  Matrix g = s.u;
  for (double& value : g.values) value = activation(w.activation, value);
  s.x2 = add(s.x1, linear(g, w.c_proj));
  std::vector<double> pooled = sum_over_patches(layer_norm(s.x2, in.ln_post));
  for (double& value : pooled) value /= static_cast<double>(x.rows - 1);
  s.f = times(transposed(in.projection), pooled);
  s.length = std::sqrt(dot(s.f, s.f));
  for (const double value : s.f) s.f_hat.push_back(value / s.length);
  return s;
}

std::vector<double> logits_of(const GradCamInput& in, const Forward& s, const Matrix& texts) {
  std::vector<double> logits = times(texts, s.f_hat);
  for (double& value : logits) value *= in.logit_scale;
  return logits;
}

// d p_k / d f: p_k sum over c != k of p_c (t_k - t_c), times the logit scale, without its component along f (the cosine does not depend on
// the length).
std::vector<double> score_gradient(const GradCamInput& in, const Forward& s, const Matrix& texts, std::span<const double> p, int64_t k) {
  std::vector<double> d(static_cast<size_t>(texts.columns));
  for (int64_t c = 0; c < texts.rows; ++c)
    for (int64_t e = 0; e < texts.columns; ++e) d[e] += in.logit_scale * p[k] * p[c] * (texts(k, e) - texts(c, e));
  const double along = dot(d, s.f_hat);
  for (size_t e = 0; e < d.size(); ++e) d[e] = (d[e] - along * s.f_hat[e]) / s.length;
  return d;
}

// From the gradient of f to the gradient of y (n, D).
Matrix backward_pass(const GradCamInput& in, const Forward& s, std::span<const double> df) {
  const BlockWeights& w = in.block;
  const std::vector<double> dpooled = times(in.projection, df);
  Matrix dz(s.x2.rows, s.x2.columns);  // the class token's row stays 0, because the score pools the patches
  for (int64_t i = 1; i < dz.rows; ++i)
    for (int64_t c = 0; c < dz.columns; ++c) dz(i, c) = dpooled[c] / static_cast<double>(dz.rows - 1);
  const Matrix dx2 = layer_norm_gradient(s.x2, in.ln_post, dz);
  Matrix du = matmul(dx2, w.c_proj.weight);
  for (size_t i = 0; i < du.values.size(); ++i) du.values[i] *= activation_slope(w.activation, s.u.values[i]);
  const Matrix dx1 = add(dx2, layer_norm_gradient(s.x1, w.ln_2, matmul(du, w.c_fc.weight)));
  const Matrix dqkv = attention_gradient(s.qkv, w.heads, matmul(dx1, w.out_proj.weight));
  return matmul(dqkv, w.in_proj.weight);
}

}  // namespace

std::vector<double> class_probabilities(const GradCamInput& in, const Matrix& x, const Matrix& y, const Matrix& texts) {
  return softmax(logits_of(in, forward_pass(in, x, y), texts), 1).probabilities;
}

GradCam softmax_gradcam(const GradCamInput& in, const Matrix& x, const Matrix& texts, int64_t labels) {
  const Forward s = forward_pass(in, x, layer_norm(x, in.block.ln_1));
  const int64_t patches = x.rows - 1, width = x.columns;
  GradCam result;
  result.logits = logits_of(in, s, texts);
  result.probabilities = softmax(result.logits, 1).probabilities;
  result.channel_weights = Matrix(labels, width);
  result.mean_attention = mean_over_heads(attention(s.qkv, in.block.heads, false));
  for (int64_t k = 0; k < labels; ++k) {
    const Matrix dy = backward_pass(in, s, score_gradient(in, s, texts, result.probabilities, k));
    const std::vector<double> sum = sum_over_patches(dy);
    for (int64_t c = 0; c < width; ++c) result.channel_weights(k, c) = sum[c] / static_cast<double>(patches);
  }
  result.cams = matmul(result.channel_weights, transposed(without_first_row(s.y)));
  for (double& value : result.cams.values) value = std::max(value, 0.0);
  return result;
}

}  // namespace clip_es::reference
