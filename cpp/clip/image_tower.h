// Patches -> the tokens that enter the last block, and the attention of the blocks before it.
#pragma once
#include <span>

#include "clip/model.h"
#include "clip/preprocess.h"

namespace clip_es {

constexpr int64_t kAffinityBlocks = 8;  // CAA averages the attention of the last 8 blocks, or of all when there are fewer (released value)

// The share of one block in that mean.
float affinity_weight(const Model&);

// Position of patches in a grid of another shape than the trained one: bilinear, half-pixel centres. out (1 + patches, width), the class
// token's row first.
void resize_positions(Arena& scratch, const Model&, const Grid&, float* out);

// One or more images, one behind the other in patches (see preprocess()) and in x (1 + patches, width), each with its class token first:
// the tokens entering the LAST block. They share matrix products, and each attends to itself alone. mean_attention[i] (patches, patches):
// overwritten with the share of the blocks before the last.
void encode_images(HostContext&, const Model&, std::span<const Grid>, const float* patches, float* x,
                   std::span<float* const> mean_attention);

}  // namespace clip_es
