// Prepares a layer for 8-bit integers (SmoothQuant, arXiv 2211.10438). All channels of a LayerNorm's output share one scale. A few channels
// are many times larger than the others, so the others would be rounded to only a few different integers.
#pragma once
#include <cstdint>
#include <vector>

#include "clip/tensors.h"

namespace clip_es {

// Divides each channel of the norm's output by a factor, and multiplies the channel's column of weight (outputs, width) by it, so that both
// have the same size. The product of the two does not change. No photos are needed to measure a channel: normalised values rarely exceed
// three standard deviations, so its size is |beta| + 3 |gamma|.
void smooth(LayerNormWeights& norm, std::vector<float>& weight);

}  // namespace clip_es
