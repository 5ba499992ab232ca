// Maps of the patches to a mask of the photo, with its confidence (CLIP-ES, sections 3.3 and 3.4).
#pragma once
#include <cstdint>
#include <span>

#include "clip/preprocess.h"
#include "core/context.h"
#include "core/mask.h"

namespace clip_es {

struct MaskSettings {
  float background_power = 1;  // background = (1 - largest map) ^ power
  float ignore_below = 0;      // a pixel with a smaller confidence becomes kIgnored
};

// All have the photo's size. A pointer that is null is not filled.
struct MaskOutputs {
  uint8_t* mask = nullptr;  // (height, width): kBackground, value[k] where map k is the largest, or kIgnored; a tie goes to the background,
                            // then to the lower k
  float* confidence = nullptr;  // (height, width): the largest score of the background and the maps
  float* maps = nullptr;        // (K, height, width), in [0, 1]
};

// maps (K, grid): normalised in place to [0, 1] by min-max, then enlarged bilinearly with half-pixel centres. value (K): the mask's byte of
// each map.
void make_pseudo_mask(HostContext&, float* maps, const Grid&, std::span<const uint8_t> value, int64_t width, int64_t height,
                      const MaskSettings&, const MaskOutputs&);

// Prepares the same maps for the dense CRF. maps (labels, grid); scores (1 + labels, height, width): the background, then the enlarged
// maps.
void score_labels(HostContext&, float* maps, const Grid&, int64_t labels, int64_t width, int64_t height, const MaskSettings&,
                  float* scores);

}  // namespace clip_es
