// The residual attention block of both towers (CLIP's ResidualAttentionBlock), on the CPU.
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

// Updates x (tokens, width) in place: x += attention(ln_1 x), then x += mlp(ln_2 x). x holds one sequence after another. `precision` is the
// precision of attention's products: kFloat32 or kBFloat16.
void transformer_block(HostContext&, const TransformerShape&, Precision precision, const TransformerBlock&, std::span<const ops::Sequence>,
                       bool causal, float* x);

// The same for images, whose first token is the class token. Also adds `weight` times the attention of image i to means[i]
// (patches, patches): see ops::attention_with_mean().
void transformer_block_with_means(HostContext&, const TransformerShape&, Precision precision, const TransformerBlock&,
                                  std::span<const ops::Sequence> images, float* x, float weight, std::span<const HostSpan<float>> means);

}  // namespace clip_es
