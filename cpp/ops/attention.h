// Attention in blocks of query rows. The scores of a block stay in the cache of the thread that computes them. So no heads x n x n array is
// needed, and the only n x n array is the mean that CAA needs.
#pragma once
#include <cstdint>
#include <span>

#include "core/context.h"
#include "core/precision.h"

namespace clip_es::ops {

// Consecutive rows that attend to each other: one image's tokens, or one prompt's.
struct Sequence {
  int64_t begin, length;
};

struct AttentionInput {
  const float* qkv;  // (tokens, 3 * width): query, key and value of each token; each of them contains all heads, one after the other
  int64_t width, heads;
  Precision precision = Precision::kFloat32;  // the precision of the products: kFloat32 or kBFloat16
  float scale() const;                        // 1 / sqrt(width / heads)
};

// Computes the attention of each sequence. out (tokens, width). log_sum_exp (heads, tokens): of each query's scaled scores, which the
// backward pass needs; may be null. With `causal`, a token attends only to itself and to earlier tokens.
void attention(HostContext&, const AttentionInput&, std::span<const Sequence>, bool causal, float* out, float* log_sum_exp);

// The same for one image of n tokens, the class token first. Also adds `weight` times the head-averaged attention between patches to mean
// (n - 1, n - 1).
void attention_with_mean(HostContext&, const AttentionInput&, int64_t n, float* out, float* log_sum_exp, float weight, float* mean);

// What is added to the scaled scores of two patches before the softmax: rows[|y - y'|] * columns[|x - x'|], where (y, x) and (y', x') are
// their places in a grid of rows.size() x columns.size().
struct NeighbourPrior {
  std::span<const float> rows, columns;
};

// Attention of one image of n tokens. The patches of the prior's grid are the last tokens. prior: null for none.
void attention_with_prior(HostContext&, const AttentionInput&, int64_t n, const NeighbourPrior* prior, float* out);

// The part of the backward pass that GradCAM needs: for each class, the gradients of q, k and v summed over the n - 1 patches, without the
// class token. Only patches have an output gradient. No n x n gradient is computed.
//   out (n, width), log_sum_exp (heads, n): of the forward pass
//   out_gradient (classes, n - 1, width) -> qkv_gradient (classes, 3 * width)
void attention_gradient_sums(HostContext&, const AttentionInput&, int64_t n, const float* out, const float* log_sum_exp,
                             const float* out_gradient, int64_t classes, float* qkv_gradient);

}  // namespace clip_es::ops
