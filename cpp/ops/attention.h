// Attention by blocks of query rows: a block's scores live in the cache of the thread that makes them, so no heads x n x n or
// n x n tensor exists but the one mean that CAA asks for.
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
  const float* qkv;  // (tokens, 3 * width): a token's query, key and value, heads side by side in each
  int64_t width, heads;
  Precision precision = Precision::kFloat32;  // of what is multiplied: kFloat32 or kBFloat16
  float scale() const;                        // 1 / sqrt(width / heads)
};

// out (tokens, width): each sequence's attention, causal when asked for.
// log_sum_exp (heads, tokens), or null: of each query's scaled scores, for the backward pass.
void attention(HostContext&, const AttentionInput&, std::span<const Sequence>, bool causal, float* out, float* log_sum_exp);

// The same for one image of n tokens, class token first; adds `weight` times the attention averaged over heads, class token
// dropped, to mean (n - 1, n - 1).
void attention_with_mean(HostContext&, const AttentionInput&, int64_t n, float* out, float* log_sum_exp, float weight, float* mean);

// Backward pass, as far as GradCAM needs it: per class, the gradients of all tokens' q, k and v summed over the PATCHES (n - 1
// rows, class token left out), with no n x n gradient. Only patches have an output gradient.
//   out (n, width), log_sum_exp (heads, n): of the forward pass; out_gradient (classes, n - 1, width)
//   -> qkv_gradient (classes, 3 * width)
void attention_gradient_sums(HostContext&, const AttentionInput&, int64_t n, const float* out, const float* log_sum_exp,
                             const float* out_gradient, int64_t classes, float* qkv_gradient);

}  // namespace clip_es::ops
