// The arguments of the kernels for preprocessing and the image tower. kernels.h has the rules and the names.
#pragma once
#include <cstdint>

#include "ops/cuda/photos.h"

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
struct ResizeRowsPhoto {
  const uint8_t* in;  // (rows, in_width, channels)
  int64_t channels;   // 1, 3 or 4
  int64_t in_width, rows, out_width;
  ResizeTaps taps;  // of out_width outputs
  uint8_t* out;     // (rows, out_width, 3)
};
struct ResizeRows {
  Photos<ResizeRowsPhoto> photos;
};

// Second pass: resizes every column.
struct ResizeColumnsPhoto {
  const uint8_t* in;  // (any height, width, 3); taps.first and taps.count stay within this height
  int64_t width, out_height;
  ResizeTaps taps;  // of out_height outputs
  uint8_t* out;     // (out_height, width, 3)
};
struct ResizeColumns {
  Photos<ResizeColumnsPhoto> photos;
};

// The second pass for a photo that enters the network: resizes every column, cuts the image into patches and normalises the bytes:
// out[p][c][y][x] = pixel_values[c][byte]. A row may be longer than a patch: zeros follow. Twins: reference::resize_bicubic,
// ops::extract_patches.
struct ExtractPatchesPhoto {
  const uint8_t* in;  // (any height, gw * patch, 3); taps.first and taps.count stay within this height
  int64_t gh, gw;
  ResizeTaps taps;  // of gh * patch outputs
  void* out;        // (gh * gw, row)
};
struct ExtractPatches {
  Photos<ExtractPatchesPhoto> photos;
  int64_t patch, row;         // row: at least 3 * patch * patch
  const float* pixel_values;  // (3, 256)
  bool bfloat16 = false;      // type of out
};

// ---- Image tower ----

// The tokens of an image, normalised as in LayerNorm. Row 0 is class_embedding + positions[0]. The other rows are the embedding of their
// patch plus its position, interpolated bilinearly from the trained grid. Twins: clip_es::resize_positions, ops::layer_norm.
struct EmbedTokensPhoto {
  const float* embedded;  // (gh * gw, width): the embeddings of the patches
  float* x;               // (1 + gh * gw, width)
  int64_t gh, gw;
};
struct EmbedTokens {
  Photos<EmbedTokensPhoto> photos;
  int64_t width, trained_side;
  const float* class_embedding;  // (width)
  const float* positions;        // (1 + trained_side * trained_side, width)
  const float *gamma, *beta;     // (width)
};

// x += residual, then y = (x - mean) * rstd * gamma + beta with mean and rstd of each row. Either step can be left out.
// If the width is a multiple of 4, all arrays but rstd are aligned to four elements. Twins: ops::add, ops::layer_norm, ops::normalise_rows.
struct LayerNorm {
  float* x;              // (rows, width); written only if residual is not null
  const void* residual;  // (rows, width) or null
  bool residual_bfloat16;
  int64_t rows, width;
  const float *gamma, *beta;  // (width) both, or both null for 1 and 0
  void* y;                    // (rows, width) or null; a float32 y may be x
  bool y_bfloat16;
  float* rstd;                // (rows) or null; written only if y is not null
  void* y_rounded = nullptr;  // (rows, width) or null: y in bfloat16, in addition to a float32 y
};

// sum = a + b for the patches of an image, without its class token. x_hat and y: the sum normalised as in LayerNorm, without and with gamma
// and beta. Twins: ops::add, ops::normalise_rows, ops::layer_norm.
struct AddPatchesPhoto {
  const void* a;   // (1 + patches, width)
  const float* b;  // (1 + patches, width)
  int64_t patches;
  float* sum;       // (patches, width)
  void *x_hat, *y;  // (patches, width)
  float* rstd;      // (patches)
};
struct AddPatches {
  Photos<AddPatchesPhoto> photos;
  int64_t width;
  const float *gamma, *beta;  // (width)
  bool bfloat16 = false;      // type of a, x_hat and y
};

// y = activation(u), element by element. Twin: ops::activate.
struct Activate {
  const void* u;    // this and y: aligned to 16 bytes
  void* y;          // may be u
  bool bfloat16;    // type of u and y
  bool exact_gelu;  // true: u * Phi(u); false: u * sigmoid(1.702 u)
  int64_t count;
};

// What is added to the scores of two patches, rows[|y - y'|] * columns[|x - x'|]. The patches of the grid are the last tokens.
struct NeighbourPrior {
  const float *rows, *columns;  // (gh), (gw); both null for no prior
  int64_t gh, gw;
};

// Attention in float32: out = softmax(scale * q k^T + prior) v for each head, and the log-sum-exp of each row of scores. The scores are not
// stored. Fails with cudaErrorInvalidValue if a head has more than kLargestHead channels. Twins: ops::attention_with_mean,
// ops::attention_with_prior.
struct AttentionPhoto {
  const float *queries, *keys, *values;  // (n, width), with rows 3 * width floats apart: parts of a qkv
  int64_t n;
  float* out;          // (n, width)
  float* log_sum_exp;  // (heads, n) or null
};
struct Attention {
  Photos<AttentionPhoto> photos;
  int64_t width, heads;
  float scale;
  NeighbourPrior prior;  // of all photos
};

// mean[i][j] += factor * sum over heads of P[head][i][j], without row and column of the class token, where P = exp(scale * q k^T -
// log_sum_exp). P, heads * n * n floats of each image, is not stored. Twin: ops::attention_with_mean.
struct AddAttentionMeanPhoto {
  const float* qkv;          // (n, 3 * width)
  const float* log_sum_exp;  // (heads, n), from Attention
  int64_t n;
  float* mean;  // (n - 1, n - 1)
};
struct AddAttentionMean {
  Photos<AddAttentionMeanPhoto> photos;
  int64_t width, heads;
  float scale, factor;
  bool is_first;  // the mean is set instead of added to
};

// The log-sum-exp of the scaled scores of one query: values[head * head_stride + query * row_stride].
struct LogSumExp {
  const float* values;
  int64_t head_stride, row_stride;  // in floats
};

// The same sum from bfloat16 queries and keys, on tensor cores. Fails with cudaErrorInvalidValue unless width = 64 * heads.
struct AddBFloat16AttentionMeanPhoto {
  const void* qkv;        // (n, 3 * width) bfloat16, 16-byte aligned
  LogSumExp log_sum_exp;  // of scale * q k^T
  int64_t n;
  float* mean;  // (n - 1, n - 1)
};
struct AddBFloat16AttentionMean {
  Photos<AddBFloat16AttentionMeanPhoto> photos;
  int64_t width, heads;
  float scale, factor;
  bool is_first;
};

// Copies the results of LibTorch's attention, which live only until the next work of the stream, into a photo's arrays.
struct KeepAttentionPhoto {
  const void* out;        // (n, width) bfloat16; this and kept_out: 16-byte aligned
  LogSumExp log_sum_exp;  // of every head and token
  int64_t n;
  void* kept_out;           // (n, width) bfloat16
  float* kept_log_sum_exp;  // (heads, n)
};
struct KeepAttention {
  Photos<KeepAttentionPhoto> photos;
  int64_t width, heads;  // width: a multiple of 8
};

// Converts between float32 and bfloat16. Twins: float_to_bfloat16, bfloat16_to_float.
struct Convert {
  const void* from;
  bool to_bfloat16;  // true: from float32 to bfloat16; false: from bfloat16 to float32
  void* to;
  int64_t count;
};

// out = gamma * (mean of the rows of x) + beta, summed in double. Twin: the pooling in clip_es::run_last_block.
struct ColumnMeansPhoto {
  const float* x;  // (rows, columns)
  int64_t rows;
  float* out;  // (columns)
};
struct ColumnMeans {
  Photos<ColumnMeansPhoto> photos;
  int64_t columns;
  const float *gamma, *beta;  // (columns)
};

}  // namespace clip_es::cuda
