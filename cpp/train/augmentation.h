// The random transformation of a training sample: scale, crop and mirror.
#pragma once
#include <span>

#include "normalisation.h"
#include "pictures.h"
#include "random.h"

namespace clip_es::train {

struct AugmentationSettings {
  int crop;  // pixels of each side of the result
  double smallest_scale, largest_scale;
  bool flip;  // mirror half of the samples
};

// Random numbers in [0, 1), in the order in which they are drawn.
struct Draws {
  double scale, top, left, flip;
};
Draws draw(Random& random);

// A view of one sample of a batch.
struct Crop {
  std::span<float> image;       // 3 x crop x crop, normalised; 0 outside the photo
  std::span<uint8_t> labels;    // crop x crop; kIgnored outside the photo
  std::span<float> confidence;  // crop x crop; 0 outside the photo
};

// Scales the photo bilinearly, and the mask and confidence to the nearest pixel, all with half-pixel centres and without antialiasing. Only
// the pixels of the crop are computed. `confidence` may be empty: then it is 1 everywhere. The three inputs have the same size.
void augment(const Photo& photo, const Mask& mask, const Confidence& confidence, const AugmentationSettings& settings, const Draws& draws,
             const Normalisation& normalisation, const Crop& out);

}  // namespace clip_es::train
