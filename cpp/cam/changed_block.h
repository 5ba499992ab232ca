// The changed last block of maps by similarity. Internal to cam/.
#pragma once
#include <span>

#include "cam/patch_features.h"

namespace clip_es {

// What the block reads besides its tokens.
struct ChangedBlockInput {
  const Model& model;
  const TowerWeights& weights;
  const SimilaritySettings& settings;
  Grid grid;
  std::span<const HostSpan<float>> outputs;  // of earlier blocks, see encode_images(); those that the settings need
  std::span<const float> middle;             // (N, N): the attention of the middle blocks, or empty
};

// The factors of the Gaussian prior by distance in patches, for a direction of `size` patches.
std::span<float> gaussian(Arena&, int64_t size, float deviation);

// class_token (D), patches (N, D) -> out (N, D). out must not overlap the others.
void run_changed_block(HostContext&, const ChangedBlockInput&, std::span<const float> class_token, std::span<const float> patches,
                       std::span<float> out);

}  // namespace clip_es
