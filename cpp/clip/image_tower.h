// The image tower on the CPU, except the last block. It turns patches into the tokens that enter the last block, and averages the
// attention of the blocks before it.
#pragma once
#include <span>
#include <vector>

#include "clip/transformer.h"
#include "core/grid.h"

namespace clip_es {

// CAA averages the attention of the last 8 blocks (the released value), or of all blocks if there are fewer.
constexpr int64_t kAffinityBlocks = 8;

// The weight of one block in that mean.
float affinity_weight(const Model&);

// The weights of the patch embedding and of all blocks except the last one, packed for products.
struct ImageTower {
  Linear patch_embedding;                // (width, 3 * patch * patch), no bias
  std::vector<TransformerBlock> blocks;  // all except the last
  Precision attention;                   // the precision of attention's products: kFloat32 or kBFloat16

  size_t bytes() const;
};

// Resizes the trained positional embeddings to this grid: bilinear, with half-pixel centres. out: (1 + patches, width); the first row is
// that of the class token.
void resize_positions(Arena& scratch, const Model&, const Grid&, float* out);

// Computes the tokens that enter the last block, for one or more images. `patches` holds the patches of one image after another: see
// preprocess(). `tokens` has 1 + patches rows of `width` floats for each image, the class token first. The images share matrix products,
// but each image attends only to itself. mean_attention[i] (patches, patches) is overwritten: it gets the sum over all blocks except the
// last one of affinity_weight() times the block's attention. No mean is computed if the span is empty.
// block_outputs: if not empty, one span per block; block_outputs[b], if not empty, gets the tokens after the first b blocks.
void encode_images(HostContext&, const Model&, const ImageTower&, std::span<const Grid>, HostSpan<const float> patches,
                   HostSpan<float> tokens, std::span<const HostSpan<float>> mean_attention,
                   std::span<const HostSpan<float>> block_outputs = {});

}  // namespace clip_es
