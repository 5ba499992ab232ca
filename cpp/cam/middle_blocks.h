// Which blocks the steps of ResCLIP and SC-CLIP use. The papers count the blocks of a ViT with 12.
#pragma once
#include <algorithm>
#include <cstdint>

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

}  // namespace clip_es
