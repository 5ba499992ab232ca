// Fully connected CRF (Krähenbühl and Koltun 2011): label scores -> marginals that follow the photo's edges, by mean-field rounds whose
// messages are Gaussian filters on permutohedral lattices.
#pragma once
#include <cstdint>

#include "core/context.h"

namespace clip_es {

// Defaults: CLIP-ES's, in the paper's supplement and the released code.
struct CrfSettings {
  int rounds = 10;
  float position_sigma = 1;  // pixels
  float position_weight = 3;
  float bilateral_position_sigma = 67;  // pixels
  float bilateral_colour_sigma = 3;     // levels of 255
  float bilateral_weight = 4;
  // The released pipeline hands the filter the photo in BGR with Caffe's mean colour subtracted, cast to unsigned bytes: what is darker
  // than the mean wraps to the bright end. true repeats that.
  bool released = false;
};

// rgb (height, width, 3) and scores (labels, height, width) -> marginals (labels, height, width), which sum to 1 at every pixel.
// The unary energy is -log(clip(score, 1e-5, 1)). Throws Error kInvalidArg for no label, no pixel, a sigma that is not positive, a negative
// weight or number of rounds, and a score that is negative or not finite. Memory: docs/crf.md.
void dense_crf(HostContext&, const uint8_t* rgb, int64_t width, int64_t height, const float* scores, int64_t labels, const CrfSettings&,
               float* marginals);

}  // namespace clip_es
