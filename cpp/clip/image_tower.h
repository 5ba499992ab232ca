// The image tower on the CPU: patches -> the tokens that enter the last block, and the attention of the blocks before it.
#pragma once
#include <span>
#include <vector>

#include "clip/transformer.h"
#include "core/grid.h"

namespace clip_es {

// CAA averages the attention of the last 8 blocks, or of all blocks when there are fewer (released value).
constexpr int64_t kAffinityBlocks = 8;

// The weight of one block in that mean.
float affinity_weight(const Model&);

// Weights up to the last block, packed for products.
struct ImageTower {
  Linear patch_embedding;                // (width, 3 * patch * patch), no bias
  std::vector<TransformerBlock> blocks;  // all but the last
  Precision attention;                   // of attention's products: kFloat32 or kBFloat16

  size_t bytes() const;
};

// Positional embeddings for a grid of another shape than the trained one: bilinear, half-pixel centres. out (1 + patches, width), the
// class token's row first.
void resize_positions(Arena& scratch, const Model&, const Grid&, float* out);

// One or more images, which follow one another in patches (see preprocess()) and in tokens (1 + patches, width), each with its class token
// first. Writes the tokens that enter the last block. The images share matrix products, and each attends only to itself.
// mean_attention[i] (patches, patches) is overwritten with the share of all blocks but the last.
void encode_images(HostContext&, const Model&, const ImageTower&, std::span<const Grid>, HostSpan<const float> patches,
                   HostSpan<float> tokens, std::span<const HostSpan<float>> mean_attention);

}  // namespace clip_es
