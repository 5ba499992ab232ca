// Steps of SC-CLIP (arXiv 2411.15869) on the tokens of N patches of width D: outliers, and the similarity of patches in middle blocks.
#pragma once
#include <cstdint>
#include <span>

#include "core/context.h"
#include "core/grid.h"

namespace clip_es {

constexpr float kLeastSimilarity = 0.4f;  // smaller similarities do not count when patches are averaged
constexpr float kSharpness = 3;           // of the similarity before its softmax

// Sets outlier[i] to 1 for the `share` of the patches (N, D) with the largest local outlier factors: the squared distance to the 30th
// neighbour, compared with those of the 30 neighbours. All others get 0.
void find_outliers(HostContext&, std::span<const float> patches, float share, std::span<uint8_t> outlier);

// Replaces each outlier by the mean of those of its 8 neighbours that are none. Without such a neighbour it stays as it is.
void repair_patches(HostContext&, std::span<const uint8_t> outlier, const Grid&, std::span<float> patches);

// similarity (N, N): cosines of the patches (N, D).
void patch_similarity(HostContext&, std::span<const float> patches, int64_t count, std::span<float> similarity);

// Both replace the similarities in place by rows of weights.
void to_averaging_weights(HostContext&, int64_t count, std::span<float> similarity);  // those of at least 0.4, divided by their sum
void to_attention(HostContext&, int64_t count, std::span<float> similarity);          // the softmax of those above the mean

}  // namespace clip_es
