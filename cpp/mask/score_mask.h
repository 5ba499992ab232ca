// Makes a mask from scores of every pixel.
#pragma once
#include <cstdint>
#include <span>

#include "core/context.h"
#include "core/image.h"
#include "mask/pseudo_mask.h"

namespace clip_es {

// scores (1 + K, height, width): the background, then the labels. Raises the background to settings.background_power in place, then writes
// the outputs: a pixel gets the label with the largest score. value (K): the mask's byte for each label. largest (K): the largest score of
// each label.
void make_score_mask(HostContext&, HostSpan<float> scores, std::span<const uint8_t> value, const PhotoSize&, const MaskSettings&,
                     const MaskOutputs&, HostSpan<float> largest);

}  // namespace clip_es
