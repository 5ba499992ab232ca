// Before 8-bit integers: a few channels of a LayerNorm's output are many times larger than the others, and the scale that they all share
// would leave the others only a few of its steps (SmoothQuant, arXiv 2211.10438).
#pragma once
#include <cstdint>
#include <vector>

#include "clip/tensors.h"

namespace clip_es {

// Shares every channel's size between the norm's output and the columns of weight (outputs, width) that it meets; their product stays. No
// data is needed: a normalised channel is within about three deviations, |beta| + 3 |gamma| after the norm.
void smooth(LayerNormWeights& norm, std::vector<float>& weight);

}  // namespace clip_es
