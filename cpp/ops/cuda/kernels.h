// The arguments of every CUDA kernel, and the list of kernels. This header needs no CUDA header, so the engine includes it, too.
//
// Rules for all kernels, unless a comment says otherwise:
// - Pointers are device memory. Arrays are dense and row-major, and aligned for their element type.
// - A comment (rows, columns) gives an array's shape. Arrays do not overlap.
// - "or null" marks the only pointers that may be null.
// - A kernel is queued on a stream and returns at once. A count of zero queues nothing.
// - bfloat16 arrays are `void*` or `uint16_t*`; values are finite and rounded to nearest, ties to even.
//
// Names: gh, gw: rows and columns of the patch grid. patches = gh * gw. n = 1 + patches: tokens, the class token first. width: of the
// residual stream. hidden: units of the MLP. size = width / heads: of one head. qkv (n, 3 * width): query, key and value of every token.
// The CPU twin of each kernel is named with it; tests compare both.
#pragma once
#include <cstdint>

namespace clip_es::cuda {

// ---- Preprocessing ----

// The bicubic filter of one axis. Output pixel i is the sum over t < count[i] of weights[i * stride + t] * input[first[i] + t].
// Weights are fixed-point numbers with 22 fraction bits. Made by ops::resize_weights.
struct ResizeTaps {
  const int32_t *first, *count, *weights;  // (outputs), (outputs), (outputs, stride)
  int64_t stride;
};

// First pass of ops::resize_bicubic: resizes every row and converts to RGB. Grey is repeated three times, alpha is dropped.
// Twin: reference::resize_bicubic, together with ResizeColumns.
struct ResizeRows {
  const uint8_t* in;  // (rows, in_width, channels)
  int64_t channels;   // 1, 3 or 4
  int64_t in_width, rows, out_width;
  ResizeTaps taps;  // of out_width outputs
  uint8_t* out;     // (rows, out_width, 3)
};

// Second pass: resizes every column.
struct ResizeColumns {
  const uint8_t* in;  // (any height, width, 3); taps.first and taps.count stay within this height
  int64_t width, out_height;
  ResizeTaps taps;  // of out_height outputs
  uint8_t* out;     // (out_height, width, 3)
};

// Cuts an image into patches and normalises the bytes: out[p][c][y][x] = pixel_values[c][byte]. Twin: ops::extract_patches.
struct ExtractPatches {
  const uint8_t* image;  // (gh * patch, gw * patch, 3)
  int64_t gh, gw, patch;
  const float* pixel_values;  // (3, 256)
  float* out;                 // (gh * gw, 3 * patch * patch)
};

// ---- Image tower ----

// The tokens of images that have the same grid. Row 0 of an image becomes class_embedding + positions[0]. The other rows become the
// embedding of their patch plus its position, interpolated bilinearly from the trained grid. Twin: clip_es::resize_positions.
struct AddPositions {
  const float* embedded;  // (images, gh * gw, width): the embeddings of the patches
  float* x;               // (images, 1 + gh * gw, width)
  int64_t images, gh, gw, width, trained_side;
  const float* class_embedding;  // (width)
  const float* positions;        // (1 + trained_side * trained_side, width)
};

// x += residual, then y = (x - mean) * rstd * gamma + beta with mean and rstd of each row. Either step can be left out.
// Twins: ops::add, ops::layer_norm, ops::normalise_rows.
struct LayerNorm {
  float* x;              // (rows, width); written only if residual is not null
  const void* residual;  // (rows, width) or null
  bool residual_bfloat16;
  int64_t rows, width;
  const float *gamma, *beta;  // (width) both, or both null for 1 and 0
  void* y;                    // (rows, width) or null; a float32 y may be x
  bool y_bfloat16;
  float* rstd;  // (rows) or null; written only if y is not null
};

// y = activation(u), element by element. Twin: ops::activate.
struct Activate {
  const void* u;
  void* y;          // may be u
  bool bfloat16;    // type of u and y
  bool exact_gelu;  // true: u * Phi(u); false: u * sigmoid(1.702 u)
  int64_t count;
};

// The log-sum-exp of the scaled scores of one query: values[head * head_stride + query * row_stride].
struct LogSumExp {
  float* values;
  int64_t head_stride, row_stride;  // in floats
};

// scores = softmax(scale * scores) along each row, in place. Row r of a head is query first_query + r. Twin: reference::softmax.
struct Softmax {
  float* scores;  // (heads, rows, length)
  int64_t heads, rows, length, first_query;
  float scale;            // positive
  LogSumExp log_sum_exp;  // written; values may be null
};

// scores = exp(scale * scores - log_sum_exp), in place: the same probabilities as Softmax when log_sum_exp is known.
struct Exponentials {
  float* scores;  // (heads, rows, length)
  int64_t heads, rows, length, first_query;
  float scale;
  LogSumExp log_sum_exp;  // read
};

// mean[i][j] += factor * sum over heads of P[head][i][j] for the queries first_query .. first_query + rows - 1. Row and column of the
// class token are skipped. Twin: ops::attention_with_mean.
struct AddHeadMean {
  const float* probabilities;  // (heads, rows, n)
  int64_t heads, rows, n, first_query;
  float factor;
  float* mean;  // (n - 1, n - 1)
};

// The same sum for all queries of several images, computed from q and k on tensor cores. The probabilities, heads * n * n floats of each
// image, are never stored. Fails with cudaErrorInvalidValue unless width = 64 * heads.
struct AddAttentionMean {
  const void* qkv;  // (images, n, 3 * width) bfloat16, 16-byte aligned
  int64_t images, n, width, heads;
  float scale, factor;
  LogSumExp log_sum_exp;  // of scale * q k^T, of the first image; read
  int64_t image_stride;   // from the log-sum-exps of an image to those of the next one, in floats
  float* mean;            // (images, n - 1, n - 1)
};

// ---- GradCAM: backward pass through the last block. `classes` counts the rows of texts that are differentiated at once. ----

// out = gamma * (mean of the rows of x) + beta for each image, summed in double. Twin: the pooling in clip_es::run_last_block.
struct ColumnMeans {
  const float* x;  // (images, rows, columns)
  int64_t images, rows, columns;
  const float *gamma, *beta;  // (columns)
  float* out;                 // (images, columns)
};

// Steps 1 and 2 of cam/softmax_gradcam.cpp, in double: embedding, logits, probabilities and the gradient of each row of texts with respect
// to the pooled output. Six kernels. Twin: reference::softmax_gradcam.
// D = width, E = embedding, C = texts (labels, then background), R = row_count (a label with synonyms has several rows).
struct ScoreGradients {
  const float *pooled, *projection, *ln_post_gamma;  // (D), (D, E), (D)
  const double* competing;                           // (C, E)
  const float* rows;                                 // (R, E)
  const int64_t* label_of_row;                       // (R), each from 0 to C - 1
  int64_t width, embedding, texts, row_count;
  double logit_scale;
  double *f, *logits, *p, *directions, *dz;  // scratch: (E), (C), (R + 1, C), (R, E), (R, D)
  float *logits_out, *probabilities_out;     // (C); NaN if the image embedding is not finite or is zero
  float *a, *scaled_dz;                      // (R, D): dz - mean(dz), and dz / D
};

// e = act'(u) * rstd_post * (alpha - b * omega), and for each class and patch the two sums
// sum(e * fc_gamma) and sum(e * (u - fc_offset)) / width. Twin: ops::mlp_gradient, together with MlpGradientFinish.
struct MlpGradientE {
  const float *u, *omega;              // (patches, hidden)
  const float *alpha, *b, *rstd_post;  // (classes, hidden), (classes, patches), (patches)
  const float *fc_gamma, *fc_offset;   // (hidden)
  int64_t patches, width, hidden, classes;
  bool exact_gelu;
  float *e, *sums;  // (classes, patches, hidden), (classes, patches, 2)
};

// gradient holds e times the composite matrix on entry, and the gradient of attention's output on return.
struct MlpGradientFinish {
  const float *sums, *b;                       // (classes, patches, 2), (classes, patches)
  const float *rstd_2, *rstd_post;             // (patches)
  const float *h_hat_out, *z_hat_out, *a_out;  // (patches, width), (patches, width), (classes, width)
  const float* out_proj_column_sums;           // (width)
  int64_t patches, width, classes;
  float* gradient;  // (classes, patches, width), updated in place
};

// PackOutGradient and QueryWeights are the element-wise parts of attention's backward pass; LibTorch computes the products between them.
// The derivation is in ops/cpu/attention_gradient.cpp. Twin: ops::attention_gradient_sums.
//
// This one prepares the tokens first .. first + rows - 1, all of them patches (first >= 1). dO is the gradient of attention's output and
// delta = dO . O, per head.
struct PackOutGradient {
  const float* probabilities;  // (heads, rows, n)
  const float *qkv, *out;      // (n, 3 * width), (n, width)
  const float* out_gradient;   // (classes, n - 1, width)
  int64_t heads, rows, n, width, classes, first;
  float scale;
  float* packed;        // (heads, rows, classes, size + 1): [dO | delta]
  float* key_weight;    // (heads, rows, classes): the factor of q_i in the sum of dk
  float* value_weight;  // (heads, rows): the factor of dO_i in the sum of dv
};

// query_weight: the factor of k_j in the sum of dq, from product = P^T packed.
struct QueryWeights {
  const float *product, *qkv;  // (heads, n, classes, size + 1), (n, 3 * width)
  int64_t heads, n, width, classes;
  float scale;
  float* query_weight;  // (heads, n, classes)
};

// Negative values become 0, then min-max twice; a label with several rows gets the mean of its rows, normalised again.
// Twin: normalise_cam in cam/softmax_gradcam.cpp.
struct NormaliseCams {
  float* row_cams;           // (rows of texts, patches), overwritten
  const int64_t* first_row;  // (labels + 1): label k owns the rows first_row[k] .. first_row[k + 1] - 1, at least one
  int64_t labels, patches;
  float* cams;  // (labels, patches)
};

// ---- Box masks and affinity ----

// For each label: 1 inside the bounding boxes of the 8-connected components of int(255 * cam) > int(threshold * max), else 0. max is the
// largest int(255 * cam).
// Twins: clip_es::box_mask, reference::box_mask.
struct BoxMask {
  const float* cams;  // (labels, height, width), from 0 to 1
  int64_t labels, height, width;
  double threshold;
  int32_t* scratch;  // (labels, 6, height, width)
  uint8_t* boxes;    // (labels, height, width)
};

// Half of a Sinkhorn round: column_factor_j = 1 / sum_i (w_ij * row_factor_i). The factor is 0 if the sum is 0 or denormal.
// Twin of the affinity kernels: clip_es::refine_cams.
struct SinkhornColumns {
  const float* w;  // (n, n)
  int64_t n;
  const float* row_factor;  // (n) or null for ones
  float* column_factor;     // (n)
};

// The other half: row_factor_i = 1 / sum_j (w_ij * column_factor_j).
struct SinkhornRows {
  const float* w;  // (n, n)
  int64_t n;
  const float* column_factor;  // (n)
  float* row_factor;           // (n)
};

// y_k = T x_k for every class, with T_ij = (r_i w_ij c_j + c_i w_ji r_j) / 2. T is not stored.
struct ApplyAffinity {
  const float *w, *r, *c;  // (n, n), (n) row factors, (n) column factors
  int64_t n, classes;
  const float* x;        // (classes, n)
  const uint8_t* boxes;  // (classes, n) or null; x counts as 0 where boxes is 0
  float* y;              // (classes, n)
};

// ---- Masks ----

// map = (map - min) / (1e-7 + max - min), each map by itself, in place. Twin: ops::min_max.
struct MinMax {
  float* maps;  // (labels, patches)
  int64_t labels, patches;
};

// Resizes maps bilinearly to the photo's size and computes the requested results. Twins: clip_es::make_pseudo_mask,
// clip_es::score_pixels.
struct PseudoMask {
  const float* maps;            // (labels, gh, gw), after MinMax
  const uint8_t* label_values;  // (labels): the mask's byte for each label; may be null if mask is null
  int64_t labels, gh, gw, width, height;
  float background_power, ignore_below;
  uint8_t ignored_value;
  uint8_t* mask;      // (height, width) or null
  float* confidence;  // (height, width) or null
  float* enlarged;    // (labels, height, width) or null
  float* background;  // (height, width) or null
};

// X(function, Arguments) for every kernel.
#define CLIP_ES_CUDA_KERNELS(X)             \
  X(layer_norm, LayerNorm)                  \
  X(activate, Activate)                     \
  X(resize_rows, ResizeRows)                \
  X(resize_columns, ResizeColumns)          \
  X(extract_patches, ExtractPatches)        \
  X(add_positions, AddPositions)            \
  X(softmax, Softmax)                       \
  X(exponentials, Exponentials)             \
  X(add_head_mean, AddHeadMean)             \
  X(add_attention_mean, AddAttentionMean)   \
  X(pack_out_gradient, PackOutGradient)     \
  X(query_weights, QueryWeights)            \
  X(mlp_gradient_e, MlpGradientE)           \
  X(mlp_gradient_finish, MlpGradientFinish) \
  X(column_means, ColumnMeans)              \
  X(score_gradients, ScoreGradients)        \
  X(normalise_cams, NormaliseCams)          \
  X(box_mask, BoxMask)                      \
  X(sinkhorn_columns, SinkhornColumns)      \
  X(sinkhorn_rows, SinkhornRows)            \
  X(apply_affinity, ApplyAffinity)          \
  X(min_max, MinMax)                        \
  X(pseudo_mask, PseudoMask)

}  // namespace clip_es::cuda
