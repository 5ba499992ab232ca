// The arguments of the kernels for GradCAM, box masks, affinity and masks. kernels.h has the rules and the names.
#pragma once
#include <cstdint>

#include "ops/cuda/photos.h"

namespace clip_es::cuda {

// ---- GradCAM: backward pass through the last block. Each label of a photo has one or more rows of texts. D = width, E = embedding. ----

// Steps 1 and 2 of cam/softmax_gradcam.cpp, in double: embedding, logits, probabilities and the gradient of each row of texts with respect
// to the pooled output. Four kernels. Twin: reference::softmax_gradcam.
struct ScoreGradientsPhoto {
  const float* pooled;          // (D)
  const double* competing;      // (texts, E): the labels, then the background
  const int64_t* label_of_row;  // (row_count), each from 0 to texts - 1
  int64_t texts;
  int64_t first_row, row_count;           // where its rows begin in the rows of all photos, and how many
  double *f, *p;                          // scratch: (E), (row_count + 1, texts)
  float *logits_out, *probabilities_out;  // (texts); NaN if the image embedding is not finite or is zero
};
struct ScoreGradients {
  Photos<ScoreGradientsPhoto> photos;
  const float *projection, *ln_post_gamma;  // (D, E), (D)
  int64_t width, embedding;
  double logit_scale;
  int64_t row_count;        // of all photos, as in the following arrays
  const float* rows;        // (row_count, E)
  double *directions, *dz;  // scratch: (row_count, E), (row_count, D)
  void* a;                  // (row_count, D): dz - mean(dz)
  float* scaled_dz;         // (row_count, D): dz / D
  bool a_bfloat16 = false;
};

// Consecutive rows of texts of one photo. The kernels below compute the rows of several parts, whose arrays are stored one part after the
// other: an array (rows, D) has the rows of all parts, and an array (rows, patches) begins with the `rows * patches` values of the first
// part.
struct GradCamPart {
  // The photo's last block: see LastBlock. `const void*`: of the type that each kernel's `bfloat16` says.
  const void *y = nullptr, *qkv = nullptr, *attended = nullptr;
  const float* log_sum_exp = nullptr;
  const void* u = nullptr;
  const float *rstd_2 = nullptr, *rstd_post = nullptr;
  const void* omega = nullptr;
  const float* z_hat = nullptr;
  const void *h_hat_out = nullptr, *z_hat_out = nullptr;
  int64_t patches = 0, rows = 0;
  int64_t first_row = 0;    // the number of rows of the parts before this one
  int64_t first_patch = 0;  // the sum of rows * patches of the parts before this one
};
using GradCamParts = Photos<GradCamPart>;

// b = scaled_dz . z_hat and e = act'(u) * rstd_post * (alpha - b * omega) for each row and patch, and the two sums
// sum(e * fc_gamma) and sum(e * (u - fc_offset)) / width. Twin: ops::mlp_gradient, together with MlpGradientFinish.
// If `hidden` is a multiple of 8, all arrays with that many columns are aligned to eight elements.
struct MlpGradientE {
  GradCamParts parts;
  const float *scaled_dz, *alpha;     // (rows, D), (rows, hidden)
  const float *fc_gamma, *fc_offset;  // (hidden)
  int64_t width, hidden;
  bool exact_gelu;
  float* b;               // (rows, patches)
  void* e;                // (rows, patches, hidden)
  float* sums;            // (rows, patches, 2)
  bool bfloat16 = false;  // type of u, omega and e
};

// dO, the gradient of attention's output, and delta = dO . O per head, from the rounded dO.
struct MlpGradientFinish {
  GradCamParts parts;
  const float *sums, *b;              // (rows, patches, 2), (rows, patches)
  const float* a_out;                 // (rows, D)
  const float* out_proj_column_sums;  // (D)
  int64_t width, heads;
  const float* product;   // (rows, patches, D): e times the composite matrix
  void* gradient;         // (rows, patches, D): dO; a float32 gradient may be the product
  float* delta;           // (rows, heads, patches)
  bool bfloat16 = false;  // type of h_hat_out, z_hat_out, attended and gradient
};

// Attention's backward pass, of which only the sums over patches are computed. The derivation is in ops/cpu/attention_gradient.cpp.
// Twin: ops::attention_gradient_sums.
//
// weights[j] = scale * sum over patches i of P_ij (dO_i . v_j - delta_i): the factor of k_j in the sum of dq.
struct QueryWeights {
  GradCamParts parts;                 // qkv is float32
  const float *out_gradient, *delta;  // dO (rows, patches, D), (rows, heads, patches)
  int64_t width, heads;
  float scale;
  float* weights;  // (rows, heads, 1 + patches)
};

// The same from bfloat16 qkv and dO, on tensor cores. Both are 16-byte aligned. Fails with cudaErrorInvalidValue unless width = 64 * heads.
struct BFloat16QueryWeights {
  GradCamParts parts;
  const void* out_gradient;
  const float* delta;
  int64_t width, heads;
  float scale;
  float* weights;
};

// The sums over patches of dq, dk and dv. Fails with cudaErrorInvalidValue if a head has more than kLargestHead channels.
struct QkvGradientSums {
  GradCamParts parts;
  const void* out_gradient;            // as above
  const float *delta, *query_weights;  // as above
  int64_t width, heads;
  float scale;
  void* sums;             // (rows, 3 * D)
  bool bfloat16 = false;  // type of qkv, dO and sums
};

// cams = y . channels for each row and patch: the maps before normalisation. Twin: reference::matmul.
struct PatchCams {
  GradCamParts parts;
  const float* channels;  // (rows, D)
  int64_t width;
  float* cams;            // (rows, patches)
  bool bfloat16 = false;  // type of y
};

// Negative values become 0, then min-max twice; a label with several rows gets the mean of its rows, normalised again.
// Twin: normalise_cam in cam/softmax_gradcam.cpp.
struct NormaliseCamsPhoto {
  float* row_cams;           // (rows of texts, patches), overwritten
  const int64_t* first_row;  // (labels + 1): label k owns the rows first_row[k] .. first_row[k + 1] - 1, at least one
  int64_t labels, patches;
  float* cams;  // (labels, patches)
};
struct NormaliseCams {
  Photos<NormaliseCamsPhoto> photos;
};

// ---- Box masks and affinity ----

// For each label: 1 inside the bounding boxes of the 8-connected components of int(255 * cam) > int(threshold * max), else 0. max is the
// largest int(255 * cam).
// Twins: clip_es::box_mask, reference::box_mask.
struct BoxMaskPhoto {
  const float* cams;  // (labels, height, width), from 0 to 1
  int64_t labels, height, width;
  double threshold;
  int32_t* scratch;  // (labels, 6, height, width)
  uint8_t* boxes;    // (labels, height, width)
};
struct BoxMask {
  Photos<BoxMaskPhoto> photos;
};

// refined = T T (boxes * cams), where T = (S + S^T) / 2 and S is w after Sinkhorn's rounds. Neither S nor T is stored: S is w with a factor
// for each row and column, and T is applied twice to the maps. One cooperative launch for all photos.
// Twins: clip_es::refine_cams, reference::refine_cams.
constexpr int64_t kAffinityRows = 32;   // of a chunk: consecutive rows of w that a block multiplies together. The last one may have fewer
constexpr int64_t kAffinityLabels = 8;  // that are multiplied together
inline int64_t affinity_chunks(int64_t n) { return (n + kAffinityRows - 1) / kAffinityRows; }

struct RefineCamsPhoto {
  const float* w;        // (n, n): the mean attention without the class token
  const float* cams;     // (labels, n)
  const uint8_t* boxes;  // (labels, n): 0 or 1
  int64_t n, labels, rounds;
  float *row_factor, *column_factor;  // scratch: (n), (n). Sinkhorn's factors
  float* product;                     // scratch: (labels, n), T (boxes * cams)
  float* column_sums;                 // scratch: (chunks, kAffinityLabels, n), each over the rows of one chunk
  float* refined;                     // (labels, n)
};
struct RefineCams {
  Photos<RefineCamsPhoto> photos;
};

// ---- Masks ----

// map = (map - min) / (1e-7 + max - min), each map by itself, in place. Twin: ops::min_max.
struct MinMaxPhoto {
  float* maps;  // (labels, patches)
  int64_t labels, patches;
};
struct MinMax {
  Photos<MinMaxPhoto> photos;
};

// Resizes maps bilinearly to the photo's size and computes the requested results. Twin: clip_es::make_pseudo_mask.
struct PseudoMaskPhoto {
  const float* maps;            // (labels, gh, gw), after MinMax
  const uint8_t* label_values;  // (labels): the mask's byte for each label; may be null if mask is null
  int64_t labels, gh, gw, width, height;
  float background_power, ignore_below, background_below;
  uint8_t* mask;      // (height, width) or null
  float* confidence;  // (height, width) or null
  float* enlarged;    // (labels, height, width) or null
};
struct PseudoMask {
  Photos<PseudoMaskPhoto> photos;
  uint8_t ignored_value;
};

}  // namespace clip_es::cuda
