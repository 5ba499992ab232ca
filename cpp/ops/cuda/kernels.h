// The list of CUDA kernels, and their arguments in three more headers. They need no CUDA header, so the engine includes them, too.
//
// Rules for all kernels, unless a comment says otherwise:
// - Pointers are device memory. Arrays are dense and row-major, and aligned for their element type.
// - A comment (rows, columns) gives an array's shape. Arrays do not overlap.
// - "or null" marks the only pointers that may be null.
// - A photo has fewer than 2^31 bytes before and after it is resized, and a matrix of tokens fewer elements: divisions of 64 bits are slow.
// - A kernel is queued on a stream and returns at once. A count of zero queues nothing.
// - bfloat16 arrays are `void*` or `uint16_t*`; values are finite and rounded to nearest, ties to even.
//
// Names: gh, gw: rows and columns of the patch grid. patches = gh * gw. n = 1 + patches: tokens, the class token first. width: of the
// residual stream. hidden: units of the MLP. size = width / heads: of one head. qkv (n, 3 * width): query, key and value of every token.
// The CPU twin of each kernel is named with it; tests compare both.
#pragma once
#include "ops/cuda/kernels_cam.h"
#include "ops/cuda/kernels_similarity.h"
#include "ops/cuda/kernels_tower.h"

// X(function, Arguments) for every kernel.
#define CLIP_ES_CUDA_KERNELS(X)                            \
  X(layer_norm, LayerNorm)                                 \
  X(add_patches, AddPatches)                               \
  X(activate, Activate)                                    \
  X(resize_rows, ResizeRows)                               \
  X(resize_columns, ResizeColumns)                         \
  X(extract_patches, ExtractPatches)                       \
  X(embed_tokens, EmbedTokens)                             \
  X(attention, Attention)                                  \
  X(add_attention_mean, AddAttentionMean)                  \
  X(add_bfloat16_attention_mean, AddBFloat16AttentionMean) \
  X(keep_attention, KeepAttention)                         \
  X(convert, Convert)                                      \
  X(column_means, ColumnMeans)                             \
  X(score_gradients, ScoreGradients)                       \
  X(mlp_gradient_e, MlpGradientE)                          \
  X(mlp_gradient_finish, MlpGradientFinish)                \
  X(query_weights, QueryWeights)                           \
  X(bfloat16_query_weights, BFloat16QueryWeights)          \
  X(qkv_gradient_sums, QkvGradientSums)                    \
  X(patch_cams, PatchCams)                                 \
  X(normalise_cams, NormaliseCams)                         \
  X(box_mask, BoxMask)                                     \
  X(refine_cams, RefineCams)                               \
  X(min_max, MinMax)                                       \
  X(pseudo_mask, PseudoMask)                               \
  X(cut_windows, CutWindows)                               \
  X(add_scaled, AddScaled)                                 \
  X(unit_rows, UnitRows)                                   \
  X(averaging_weights, AveragingWeights)                   \
  X(similarity_attention, SimilarityAttention)
