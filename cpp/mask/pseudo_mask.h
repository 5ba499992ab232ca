// Maps of the patches -> a label for every pixel of the photo, with its confidence (CLIP-ES, sections 3.3 and 3.4).
#pragma once
#include <cstdint>
#include <span>

#include "clip/preprocess.h"
#include "core/context.h"

namespace clip_es {

struct MaskSettings {
  float background_power = 1;  // background = (1 - largest map) ^ power
  float ignore_below = 0;      // confidence under this becomes kIgnored
};

constexpr uint8_t kIgnored = 255;

// What to fill, each at the photo's size (height, width) and null when not wanted.
struct MaskOutputs {
  uint8_t* mask = nullptr;      // 0 background, value[k] where map k wins, kIgnored; ties go to the lower index
  float* confidence = nullptr;  // the winning score of background and maps
  float* maps = nullptr;        // (K, height, width), in [0, 1]
};

// maps (K, grid): min-max normalised here, in place, then enlarged bilinearly with half-pixel centres. value (K): the mask's byte of each.
void make_pseudo_mask(HostContext&, float* maps, const Grid&, std::span<const uint8_t> value, int64_t width, int64_t height,
                      const MaskSettings&, const MaskOutputs&);

// The same maps as scores of all labels, for a CRF: scores (1 + K, height, width), the background first.
void score_labels(HostContext&, float* maps, const Grid&, int64_t labels, int64_t width, int64_t height, const MaskSettings&,
                  float* scores);

// scores (1 + K, pixels), the background first -> mask and confidence (pixels each, null when not wanted). Ties go to the lower index.
void label_scores(HostContext&, const float* scores, std::span<const uint8_t> value, int64_t pixels, const MaskSettings&, uint8_t* mask,
                  float* confidence);

}  // namespace clip_es
