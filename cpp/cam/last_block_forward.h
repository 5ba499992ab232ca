// The forward pass of the last block on the CPU.
#pragma once
#include <span>

#include "cam/last_block.h"
#include "cam/last_block_weights.h"

namespace clip_es {

// tokens: the tokens that enter the last block, one image after another. Call lay_out_last_blocks() for `images` before. Adds
// affinity_weight() times the block's attention to mean_attention[i] (N, N). The images' spans are written.
void run_last_block(HostContext&, const Model&, const LastBlockWeights&, HostSpan<const float> tokens,
                    std::span<const HostLastBlock> images, std::span<const HostSpan<float>> mean_attention);

}  // namespace clip_es
