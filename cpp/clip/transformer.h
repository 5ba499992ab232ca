// The residual attention block that both towers are made of (CLIP's ResidualAttentionBlock).
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "core/context.h"
#include "ops/attention.h"
#include "ops/ops.h"
#include "torch/linear.h"

namespace clip_es {

struct LayerNormWeights {
  std::vector<float> gamma, beta;
};

struct BlockWeights {
  LayerNormWeights ln_1, ln_2;
  torch::Linear in_proj, out_proj, c_fc, c_proj;
};

struct TransformerShape {
  int64_t width, heads;
  Activation activation;
};

// x (tokens, width) -> x + attention(ln_1 x), then + mlp(ln_2 x), in place. Sequences lie one after another in x.
void transformer_block(Context&, const TransformerShape&, const BlockWeights&, std::span<const ops::Sequence>, bool causal, float* x);

// The same for one image of n tokens, class token first; adds `weight` times its attention to mean (n - 1, n - 1), as
// ops::attention_with_mean does.
void transformer_block_with_mean(Context&, const TransformerShape&, const BlockWeights&, int64_t n, float* x, float weight, float* mean);

}  // namespace clip_es
