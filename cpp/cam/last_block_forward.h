// The forward pass of the last block on the CPU.
#pragma once
#include <span>

#include "cam/last_block.h"
#include "cam/last_block_weights.h"

namespace clip_es {

// tokens: the tokens that enter the last block, image after image. The spans of `images` are laid out by lay_out_last_blocks().
// mean_attention[i] (N, N) += the block's share, see affinity_weight().
void run_last_block(HostContext&, const Model&, const LastBlockWeights&, HostSpan<const float> tokens,
                    std::span<const HostLastBlock> images, std::span<const HostSpan<float>> mean_attention);

}  // namespace clip_es
