// What libclip_es_cuda offers the engine: memory, streams and kernels of one GPU as a table of plain functions, and what each kernel is
// told. The engine is compiled without CUDA and finds the table by one C function. Pointers are the GPU's unless marked host; every
// function returns a cudaError_t (0: success), and queues its work on the stream without waiting unless it says so. Matrices are row-major.
#pragma once
#include <cstddef>
#include <cstdint>

namespace clip_es::cuda {

using Stream = void*;  // cudaStream_t
using Event = void*;   // cudaEvent_t

// x (rows, width) += add, if given; then y = (x - mean) * rstd * gamma + beta, if y is given, each row by itself; gamma and beta go
// together and may be null. y may be x. Twin: ops::add, ops::layer_norm, ops::normalise_rows.
struct LayerNorm {
  float* x;
  const void* add;  // (rows, width) or null
  bool add_bfloat16;
  int64_t rows, width;
  const float *gamma, *beta;  // (width) or null
  void* y;                    // (rows, width) or null
  bool y_bfloat16;
  float* rstd;  // (rows) or null
};

// y_i = activation(u_i). y may be u. Twin: ops::activate.
struct Activate {
  const void* u;
  void* y;
  bool bfloat16;  // both
  bool exact;     // u * Phi(u), else u * sigmoid(1.702 u)
  int64_t count;
};

// Where each pixel of a resized row or column draws from: weights[pixel * taps + i], in 1 / 2^22, belongs to input first[pixel] + i.
struct ResizeTaps {
  const int32_t *first, *count, *weights;
  int64_t taps;
};
// The two passes of ops::resize_bicubic. in (rows, in_width, channels 1, 3 or 4) -> out (rows, out_width, 3): grey three times, alpha
// dropped.
struct ResizeRows {
  const uint8_t* in;
  int64_t channels, in_width, rows, out_width;
  ResizeTaps taps;
  uint8_t* out;
};
// in (any height, width, 3) -> out (out_height, width, 3).
struct ResizeColumns {
  const uint8_t* in;
  int64_t width, out_height;
  ResizeTaps taps;
  uint8_t* out;
};

// image (gh * patch, gw * patch, 3) -> out (gh * gw, 3 * patch * patch), each byte replaced by value[channel * 256 + byte]. Twin:
// ops::extract_patches.
struct ExtractPatches {
  const uint8_t* image;
  int64_t gh, gw, patch;
  const float* value;  // (3, 256)
  float* out;
};

// x (1 + gh * gw, width): row 0 becomes the class token, the others hold patch embeddings; all get their positions, enlarged bilinearly
// from the trained grid. Twin: clip_es::resize_positions.
struct AddPositions {
  float* x;
  int64_t gh, gw, width, trained_side;
  const float* class_embedding;  // (width)
  const float* positions;        // (1 + trained_side^2, width)
};

// Where log_sum_exp[head * head_stride + query * row_stride] of a query stands.
struct LogSumExp {
  float* values;
  int64_t head_stride, row_stride;
};

// scores (heads, rows, length), of the queries from `first` on: softmax(scale * scores) in place. Twin: reference::softmax.
struct Softmax {
  float* scores;
  int64_t heads, rows, length, first;
  float scale;
  LogSumExp log_sum_exp;  // written; values may be null
};
// The same with log-sum-exp known: e^(scale * scores - log_sum_exp).
struct Exponentials {
  float* scores;
  int64_t heads, rows, length, first;
  float scale;
  LogSumExp log_sum_exp;  // read
};

// mean (n - 1, n - 1) += factor * sum over heads of probabilities (heads, rows, n), of the queries from `first` on; the class token's
// row and column are dropped. Twin: ops::attention_with_mean.
struct AddHeadMean {
  const float* probabilities;
  int64_t heads, rows, n, first;
  float factor;
  float* mean;
};
// The same from qkv (n, 3 width) in bfloat16 with heads of 64 and the log-sum-exp of a flash attention, on tensor cores: no tensor of
// heads x n x n exists.
struct AddAttentionMean {
  const void* qkv;
  int64_t n, width, heads;
  float scale, factor;
  LogSumExp log_sum_exp;
  float* mean;
};

// The element-wise parts of ops::attention_gradient_sums, for patches first .. first + rows - 1 as tokens.
// probabilities (heads, rows, n); out_gradient (classes, n - 1, width), out (n, width) -> packed (heads, rows, classes * (size + 1)):
// [dO | delta] of every class; key_weight (heads, rows, classes): of q_i in dk; value_weight (heads, rows): of dO_i in dv.
struct PackOutGradient {
  const float *probabilities, *qkv, *out, *out_gradient;
  int64_t heads, rows, n, width, classes, first;
  float scale;
  float *packed, *key_weight, *value_weight;
};
// product (heads, n, classes * (size + 1)) = P^T packed -> query_weight (heads, n, classes): of k_j in dq.
struct QueryWeights {
  const float *product, *qkv;
  int64_t heads, n, width, classes;
  float scale;
  float* query_weight;
};

// e (classes, patches, hidden) = act'(u) rstd_post (alpha - b omega), and sums (classes, patches, 2): e . fc_gamma and
// e . (u - fc_offset) / width. Twin: ops::mlp_gradient, with the next.
struct MlpGradientE {
  const float *u, *omega, *alpha, *b, *rstd_post, *fc_gamma, *fc_offset;
  int64_t patches, width, hidden, classes;
  bool exact;  // the activation
  float *e, *sums;
};
// gradient (classes, patches, width) holds e times the composite matrix and becomes the gradient of attention's output.
struct MlpGradientFinish {
  const float *sums, *b, *rstd_2, *rstd_post, *h_hat_out, *z_hat_out, *a_out, *out_proj_column_sums;
  int64_t patches, width, classes;
  float* gradient;
};

// out (columns) = gamma * mean of the rows of x (rows, columns) + beta. Twin: the pooling in run_last_block.
struct ColumnMeans {
  const float* x;
  int64_t rows, columns;
  const float *gamma, *beta;
  float* out;
};
// GradCAM's steps 1 and 2 (see cam/softmax_gradcam.cpp), in double as there. D width, E embedding, C texts, R rows, K labels.
struct ScoreGradients {
  const float *pooled, *projection, *ln_post_gamma;  // (D), (D, E), (D)
  const double* competing;                           // (C, E): the labels, then the background
  const float* rows;                                 // (R, E)
  const int64_t* label_of_row;                       // (R)
  int64_t width, embedding, texts, row_count;
  double logit_scale;
  double *f, *logits, *p, *directions, *dz;  // scratch: (E), (C), (R + 1, C), (R, E), (R, D)
  float *logits_out, *probabilities_out;     // (C); NaN when the image's embedding is not finite, or zero
  float *a, *scaled_dz;                      // (R, D): dz less its mean, and dz / D
};
// cams (K, N) from row_cams (R, N), which are overwritten: negative evidence dropped, min-max twice, the mean of a label's rows likewise.
struct NormaliseCams {
  float* row_cams;
  const int64_t* first_row;  // (K + 1)
  int64_t labels, patches;
  float* cams;
};

// cams (labels, height, width) -> boxes of the same shape: clip_es::box_mask of each. scratch: 6 * labels * height * width.
struct BoxMask {
  const float* cams;
  int64_t labels, height, width;
  double threshold;
  int32_t* scratch;
  uint8_t* boxes;
};

// Half a Sinkhorn round on w (n, n): column_factor_j = 1 / sum_i w_ij row_factor_i. row_factor null: ones. Twin: clip_es::refine_cams.
struct SinkhornColumns {
  const float* w;
  int64_t n;
  const float* row_factor;
  float* column_factor;
};
// The other half: row_factor_i = 1 / sum_j w_ij column_factor_j.
struct SinkhornRows {
  const float* w;
  int64_t n;
  const float* column_factor;
  float* row_factor;
};
// y (classes, n) = T x, T_ij = (r_i w_ij c_j + c_i w_ji r_j) / 2. With boxes (classes, n), x counts only where they are not 0.
struct ApplyAffinity {
  const float *w, *r, *c;
  int64_t n, classes;
  const float* x;
  const uint8_t* boxes;
  float* y;
};

// maps (labels, patches) -> min-max normalised in place. Twin: ops::min_max.
struct MinMax {
  float* maps;
  int64_t labels, patches;
};
// maps (labels, gh * gw), normalised, -> results at (height, width), each null when not wanted: mask, confidence, enlarged (labels, height,
// width), and background (height, width). Twin: clip_es::make_pseudo_mask, clip_es::score_labels.
struct PseudoMask {
  const float* maps;
  const uint8_t* value;  // (labels): the mask's byte of each; read for the mask alone
  int64_t labels, gh, gw, width, height;
  float background_power, ignore_below;
  uint8_t ignored;
  uint8_t* mask;
  float *confidence, *enlarged, *background;
};

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

struct GpuProperties {
  char name[256];
  int major, minor;  // compute capability
  size_t memory;     // bytes
};

// The table's layout, above and below: a library that was built from other sources is refused.
constexpr int kVersion = 2;

struct Functions {
  const char* (*error_text)(int error);
  bool (*is_out_of_memory)(int error);
  int (*gpu_count)(int* count);
  int (*gpu_properties)(int index, GpuProperties*);
  int (*use_gpu)(int index);  // for the calling thread
  int (*allocate)(size_t bytes, void** memory);
  int (*release)(void* memory);                         // waits for work that was queued
  int (*allocate_pinned)(size_t bytes, void** memory);  // the host's, which the GPU reads and writes by itself
  int (*release_pinned)(void* memory);
  int (*create_stream)(Stream*);
  int (*destroy_stream)(Stream);
  int (*wait)(Stream);  // until what was queued is done
  int (*create_event)(Event*);
  int (*destroy_event)(Event);
  int (*record)(Event, Stream);
  int (*seconds_between)(Event first, Event second, double* seconds);  // both done
  int (*clear)(Stream, void* memory, size_t bytes);                    // to zero
  int (*copy)(Stream, const void* from, size_t bytes, void* to);
  // Pinned memory is read or written later, before wait() returns; other memory now, which waits for what is queued.
  int (*copy_in)(Stream, const void* host, size_t bytes, void* to);
  int (*copy_out)(Stream, const void* from, size_t bytes, void* host);
#define X(name, Arguments) int (*name)(Stream, const Arguments&);
  CLIP_ES_CUDA_KERNELS(X)
#undef X
};

// Null when `version` is not the library's.
extern "C" const Functions* clip_es_cuda_functions(int version);

}  // namespace clip_es::cuda
