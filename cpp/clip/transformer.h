// The residual attention block that both towers are made of (CLIP's ResidualAttentionBlock), on the CPU.
#pragma once
#include <cstdint>
#include <span>

#include "clip/linear.h"
#include "clip/model.h"
#include "core/context.h"
#include "core/memory.h"
#include "core/precision.h"
#include "ops/attention.h"

namespace clip_es {

// A block's weights, packed for products.
struct TransformerBlock {
  LayerNormWeights ln_1, ln_2;
  Linear in_proj, out_proj, c_fc, c_proj;

  size_t bytes() const { return in_proj.bytes() + out_proj.bytes() + c_fc.bytes() + c_proj.bytes(); }
};

TransformerBlock pack_block(const BlockTensors&, Precision);

// x (tokens, width) -> x + attention(ln_1 x), then + mlp(ln_2 x), in place. Sequences follow one another in x. `precision` is that of
// attention's products: kFloat32 or kBFloat16.
void transformer_block(HostContext&, const TransformerShape&, Precision precision, const TransformerBlock&, std::span<const ops::Sequence>,
                       bool causal, float* x);

// The same for images of n tokens, class token first. Adds `weight` times the attention of image i to means[i] (n - 1, n - 1), as
// ops::attention_with_mean does.
void transformer_block_with_means(HostContext&, const TransformerShape&, Precision precision, const TransformerBlock&,
                                  std::span<const ops::Sequence> images, float* x, float weight, std::span<const HostSpan<float>> means);

}  // namespace clip_es
