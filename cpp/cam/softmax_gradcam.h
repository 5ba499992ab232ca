// Softmax-GradCAM in closed form (CLIP-ES, section 3.1): where each class is, with the other classes and the background words
// competing for the score. No autograd, nothing of size n x n per class: the derivation is in the source.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "clip/image_tower.h"

namespace clip_es {

// What the closed form wants of a model's weights, made once at load.
struct GradCamWeights {
  GradCamWeights(HostContext&, const Model&);
  // For the processor: packs what follows, and what the last block's weights do on the way back. These must not be packed yet.
  void pack(const Model&, Precision);

  std::vector<float> composite;             // (width, 4 width): out_proj^T LN_2 W1^T, an MLP gradient's way back to attention's output
  std::vector<float> fc_gamma;              // (4 width): W1 gamma_2 / width
  std::vector<float> fc_offset;             // (4 width): b1 + W1 beta_2
  std::vector<float> out_proj_column_sums;  // (width)

  ops::PackedMatrix packed_composite;                          // instead of composite
  ops::PackedMatrix c_proj_back, out_proj_back, in_proj_back;  // y = x W of the last block's W: outputs are its inputs
};

// The last block's forward pass of one image, as far as the backward pass needs it: nothing here depends on words.
// n tokens, N = n - 1 patches, D width, H heads.
struct LastBlock {
  int64_t n = 0;
  std::span<float> y{};                       // (n, D): ln_1's output, the activation that GradCAM explains
  std::span<float> qkv{};                     // (n, 3 D)
  std::span<float> attended{};                // (n, D): attention before out_proj
  std::span<float> log_sum_exp{};             // (H, n)
  std::span<float> u{};                       // (N, 4 D): c_fc's output
  std::span<float> rstd_2{}, rstd_post{};     // (N): of ln_2 and ln_post
  std::span<float> omega{};                   // (N, 4 D): W2^T z_hat, z_hat = ln_post's normalised input
  std::span<float> z_hat{};                   // (N, D)
  std::span<float> h_hat_out{}, z_hat_out{};  // (N, D): h_hat and z_hat times out_proj
  std::span<float> pooled{};                  // (D): mean over patches of ln_post's output

  // Floats that the spans of an image of n tokens need.
  static size_t floats(const Model&, int64_t n);
};

// Lays the spans of images, whose n is set, over `memory`, which holds the floats() of them all: each span of an image behind that of
// the image before, so that together they are one matrix.
void bind(const Model&, std::span<LastBlock>, std::span<float> memory);

// x: the tokens of bound images entering the last block, one image behind the other. mean_attention[i] (N, N) += the block's share.
void run_last_block(HostContext&, const Model&, const GradCamWeights&, const float* x, std::span<LastBlock>,
                    std::span<float* const> mean_attention);

// The texts of one image's softmax. A label whose synonyms are fused as CAMs has several rows; it competes with the mean of them.
struct LabelTexts {
  std::span<const float> rows;         // (R, E), unit rows
  std::span<const int64_t> first_row;  // (K + 1): label k owns rows [first_row[k], first_row[k + 1])
  std::span<const float> background;   // (M, E), unit rows
  int64_t labels() const { return static_cast<int64_t>(first_row.size()) - 1; }
};

// One row per label (the mean of its synonyms) and background text: (K + M, E). Throws Error kInvalidArg when there is one text in all: a
// softmax of one says nothing.
// In the arena's memory, which is the machine's.
std::span<double> competing_texts(Arena&, const LabelTexts&, int64_t embedding);

// logits (K + M), probabilities (K + M): of the labels, then the background. cams (K, N): each min-max normalised.
// Throws Error kInvalidArg as competing_texts().
void softmax_gradcam(HostContext&, const Model&, const GradCamWeights&, const LastBlock&, const LabelTexts&, float* logits,
                     float* probabilities, float* cams);

}  // namespace clip_es
