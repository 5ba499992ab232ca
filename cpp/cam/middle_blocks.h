// Which blocks the steps of ResCLIP and SC-CLIP use. The papers count the blocks of a ViT with 12.
#pragma once
#include <algorithm>
#include <cstdint>

#include "cam/similarity_settings.h"

namespace clip_es {

struct BlockRange {
  int64_t first, last;  // counted from 1
};
constexpr BlockRange kMixedBlocks{6, 9};   // ResCLIP: whose attention is mixed
constexpr BlockRange kFusedBlocks{4, 10};  // SC-CLIP: whose outputs are summed
constexpr int64_t kMidBlock = 9;           // SC-CLIP: the similarity before the last block
constexpr int64_t kLateBlock = 4;          // SC-CLIP: the similarity after the last block

// The block, counted from 1, at the depth that `block` has among 12. Never the last one, if there are others.
inline int64_t block_at(int64_t block, int64_t layers) {
  return std::clamp<int64_t>((2 * block * layers + 12) / 24, 1, std::max<int64_t>(layers - 1, 1));
}

inline BlockRange blocks_at(const BlockRange& range, int64_t layers) {
  return {block_at(range.first, layers), block_at(range.last, layers)};
}

// Where the output of a block stands among the kept outputs. A model of one block has only its input.
inline int64_t kept_output(int64_t block, int64_t layers) { return std::min(block, layers - 1); }

// Calls need(output) for each output that the settings need, some of them more than once.
template <class Need>
void for_needed_outputs(const SimilaritySettings& settings, int64_t layers, Need need) {
  const auto need_all = [&](const BlockRange& range, int64_t before) {
    const auto [first, last] = blocks_at(range, layers);
    for (int64_t block = first; block <= last; ++block) need(kept_output(block - before, layers));
  };
  if (settings.mix > 0) need_all(kMixedBlocks, 1);
  if (settings.fuse) need_all(kFusedBlocks, 0);
  if (settings.mid_attention || settings.aggregate) need(kept_output(block_at(kMidBlock, layers), layers));
  if (settings.aggregate) need(kept_output(block_at(kLateBlock, layers), layers));
}

}  // namespace clip_es
