// The residual attention block that both towers are made of (CLIP's ResidualAttentionBlock).
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "clip/linear.h"
#include "core/context.h"
#include "ops/attention.h"
#include "ops/ops.h"

namespace clip_es {

struct LayerNormWeights {
  std::vector<float> gamma, beta;
};

struct BlockWeights {
  LayerNormWeights ln_1, ln_2;
  Linear in_proj, out_proj, c_fc, c_proj;
};

struct TransformerShape {
  int64_t width, heads;
  Activation activation;
  Precision attention = Precision::kFloat32;  // of its products
};

// x (tokens, width) -> x + attention(ln_1 x), then + mlp(ln_2 x), in place. Sequences lie one after another in x.
void transformer_block(HostContext&, const TransformerShape&, const BlockWeights&, std::span<const ops::Sequence>, bool causal, float* x);

// The same for images of n tokens, class token first; adds `weight` times the attention of image i to means[i] (n - 1, n - 1), as
// ops::attention_with_mean does.
void transformer_block_with_means(HostContext&, const TransformerShape&, const BlockWeights&, std::span<const ops::Sequence> images,
                                  float* x, float weight, std::span<float* const> means);

}  // namespace clip_es
