// The dense CRF (Krähenbühl and Koltun 2011): it moves the borders of score maps onto the edges of the photo. This is the only public
// header of cpp/crf; README.md explains the algorithm.
#pragma once
#include <cstdint>
#include <span>

#include "core/context.h"

namespace clip_es {

// The defaults are those of CLIP-ES: the supplement of the paper and the released code agree on them.
struct CrfSettings {
  int rounds = 10;
  float position_sigma = 1;  // pixels
  float position_weight = 3;
  float bilateral_position_sigma = 67;  // pixels
  float bilateral_colour_sigma = 3;     // levels of 255
  float bilateral_weight = 4;
  // The released pipeline passes the photo as BGR, subtracts Caffe's mean colour and casts the difference to unsigned bytes. Levels below
  // the mean therefore wrap around to bright levels. true repeats this, to compare results with the released ones.
  bool released = false;
};

struct CrfInput {
  const uint8_t* rgb;  // (height, width, 3)
  int64_t width, height;
  const float* scores;  // (labels, height, width), probabilities; label 0 is the background
  int64_t labels;
};

// A pointer that is null is not filled.
struct CrfOutputs {
  float* marginals = nullptr;   // (labels, height, width); their sum is 1 at every pixel
  uint8_t* mask = nullptr;      // (height, width): the byte of the label with the largest marginal; a tie goes to the lower label
  float* confidence = nullptr;  // (height, width): the largest marginal
  // The mask's byte of labels 1, 2, ... (labels - 1); label 0 is kBackground. Empty: the label's index.
  std::span<const uint8_t> value{};
  float ignore_below = 0;  // a pixel with a smaller confidence becomes kIgnored
};

// The unary energy is -log(clip(score, 1e-5, 1)). Throws Error kInvalidArg for: no label or more than 255, an empty photo, a sigma that is
// not positive or too small for the photo, a negative weight or number of rounds, a score that is negative or not finite, and a value of
// the wrong length. Uses all threads of the context. docs/crf.md says how much memory it takes.
void dense_crf(HostContext&, const CrfInput&, const CrfSettings&, const CrfOutputs&);

}  // namespace clip_es
