// The naive twins of the kernels and stages: each computes its formula in double precision, without threads, blocks or reuse of
// results. The tests compare the fast versions with them. Names and shapes are as in tools/golden/clip_es.py.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "ops/gradcam.h"
#include "ops/ops.h"

namespace clip_es::reference {

// Row-major.
struct Matrix {
  int64_t rows = 0, columns = 0;
  std::vector<double> values;

  Matrix() = default;
  Matrix(int64_t row_count, int64_t column_count);  // zeros
  Matrix(int64_t row_count, int64_t column_count, std::span<const float> from);
  double& operator()(int64_t row, int64_t column) { return values[row * columns + column]; }
  double operator()(int64_t row, int64_t column) const { return values[row * columns + column]; }
};

// matmul.cpp
Matrix matmul(const Matrix& a, const Matrix& b);
Matrix transposed(const Matrix& m);
Matrix add(const Matrix& a, const Matrix& b);
Matrix without_first_row(const Matrix& m);

struct LinearWeights {
  Matrix weight;             // (outputs, inputs)
  std::vector<double> bias;  // (outputs)
};
Matrix linear(const Matrix& x, const LinearWeights& w);  // x weight^T + bias

// layer_norm.cpp
struct LayerNormWeights {
  std::vector<double> gamma, beta;
};
struct NormalisedRows {
  Matrix x_hat;
  std::vector<double> rstd;
};
NormalisedRows normalise_rows(const Matrix& x);
Matrix layer_norm(const Matrix& x, const LayerNormWeights& w);
// The gradient with respect to x, given out_gradient, the gradient with respect to the result.
Matrix layer_norm_gradient(const Matrix& x, const LayerNormWeights& w, const Matrix& out_gradient);

// activation.cpp
double activation(Activation kind, double u);
double activation_slope(Activation kind, double u);

// softmax.cpp
struct Softmax {
  std::vector<double> probabilities;
  double log_sum_exp;
};
Softmax softmax(std::span<const double> x, double scale);

// attention.cpp. qkv (n, 3 width), as in ops::AttentionInput.
struct Attention {
  Matrix out;                         // (n, width)
  std::vector<Matrix> probabilities;  // of each head: (n, n)
  Matrix log_sum_exp;                 // (heads, n)
};
// bias (n, n): added to the scaled scores; null for none.
Attention attention(const Matrix& qkv, int64_t heads, bool causal, const Matrix* bias = nullptr);
Matrix mean_over_heads(const Attention& a);  // (n, n)

// attention_gradient.cpp. out_gradient (n, width) -> the gradient of qkv (n, 3 width), not causal.
Matrix attention_gradient(const Matrix& qkv, int64_t heads, const Matrix& out_gradient);
std::vector<double> sum_over_patches(const Matrix& gradient);  // all rows except the first one, the class token's

// mlp_gradient.cpp. composite (width, hidden) replaces the packed in.composite. Returns (classes * patches, width).
Matrix mlp_gradient(const ops::MlpGradient& in, const std::vector<float>& composite);

// resize_bicubic.cpp. image (height, width, 3) -> (out_height, out_width, 3).
std::vector<uint8_t> resize_bicubic(std::span<const uint8_t> image, int64_t width, int64_t height, int64_t out_width, int64_t out_height);

// patches.cpp. image (gh * patch, gw * patch, 3) -> (gh * gw, 3 * patch * patch).
Matrix extract_patches(std::span<const uint8_t> image, int64_t gh, int64_t gw, int64_t patch, std::span<const float> mean,
                       std::span<const float> std);

// resize_bilinear.cpp
Matrix resize_bilinear(const Matrix& map, int64_t height, int64_t width);
std::vector<double> min_max(std::vector<double> map);

// transformer_block.cpp
struct BlockWeights {
  LayerNormWeights ln_1, ln_2;
  LinearWeights in_proj, out_proj, c_fc, c_proj;
  int64_t heads;
  Activation activation;
};
struct BlockResult {
  Matrix x;               // (n, width)
  Matrix mean_attention;  // (n, n): averaged over heads
};
BlockResult transformer_block(const BlockWeights& w, const Matrix& x, bool causal);

// softmax_gradcam.cpp
struct GradCamInput {
  BlockWeights block;  // the last block
  LayerNormWeights ln_post;
  Matrix projection;  // (width, embedding)
  double logit_scale;
};
struct GradCam {
  std::vector<double> logits, probabilities;  // (texts)
  Matrix channel_weights;                     // (labels, width)
  Matrix cams;                                // (labels, patches), before normalisation
  Matrix mean_attention;                      // (n, n)
};
// x (n, width): the last block's input. texts (texts, embedding): unit rows; the first `labels` rows get a CAM.
GradCam softmax_gradcam(const GradCamInput& in, const Matrix& x, const Matrix& texts, int64_t labels);
// The probabilities as a function of y (n, width), which replaces ln_1(x). GradCAM differentiates this function.
std::vector<double> class_probabilities(const GradCamInput& in, const Matrix& x, const Matrix& y, const Matrix& texts);

// box_mask.cpp. cam (height, width) in [0, 1]. It is float32, because the 8-bit map is computed from float32.
std::vector<uint8_t> box_mask(std::span<const float> cam, int64_t height, int64_t width, double threshold);

// attention_affinity.cpp. attention (N, N); cams, boxes (K, N) -> (K, N).
Matrix affinity(const Matrix& attention, int sinkhorn_rounds);
Matrix refine_cams(const Matrix& attention, const Matrix& cams, const Matrix& boxes, int sinkhorn_rounds);

// pseudo_mask.cpp. maps (K, grid_height * grid_width).
struct PseudoMask {
  Matrix scores;                   // (1 + K, height * width): background, then the maps
  std::vector<uint8_t> mask;       // (height * width)
  std::vector<double> confidence;  // (height * width)
};
PseudoMask pseudo_mask(const Matrix& maps, int64_t grid_height, int64_t grid_width, std::span<const uint8_t> value, int64_t width,
                       int64_t height, double background_power, double ignore_below, double background_below);

}  // namespace clip_es::reference
