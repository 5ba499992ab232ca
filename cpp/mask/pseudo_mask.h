// Makes a mask of the photo, and its confidence, from maps of the patches (CLIP-ES, sections 3.3 and 3.4).
#pragma once
#include <cstdint>
#include <span>

#include "core/context.h"
#include "core/image.h"
#include "core/maps.h"
#include "core/mask.h"

namespace clip_es {

struct MaskSettings {
  float background_power = 1;  // background = (1 - largest map) ^ power
  float ignore_below = 0;      // a pixel with a smaller confidence becomes kIgnored
  float background_below = 0;  // a pixel where no map is larger becomes background: its background's score is at least this
};

// All have the photo's size. A null pointer is not written to.
struct MaskOutputs {
  uint8_t* mask = nullptr;  // (height, width): kBackground, value[k] where map k is the largest, or kIgnored; a tie goes to the background,
                            // then to the lower k
  float* confidence = nullptr;  // (height, width): the largest score of the background and the maps
  float* maps = nullptr;        // (K, height, width), in [0, 1]
};

// Normalises the maps in place to [0, 1] by min-max, then enlarges them bilinearly with half-pixel centres. value (K): the mask's byte for
// each map.
void make_pseudo_mask(HostContext&, const HostMaps&, std::span<const uint8_t> value, const PhotoSize&, const MaskSettings&,
                      const MaskOutputs&);

// Normalises and enlarges the maps in the same way. scores (K, height, width).
void score_pixels(HostContext&, const HostMaps&, const PhotoSize&, float* scores);

// Writes the background's row of scores that begin with it: each is (1 - largest map) ^ power but at least background_below. scores (1 +
// labels, pixels).
void background_from_maps(HostContext&, const MaskSettings&, int64_t labels, int64_t pixels, float* scores);

}  // namespace clip_es
