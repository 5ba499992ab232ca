// The dense CRF (Krähenbühl and Koltun 2011). It moves the borders of the score maps to the edges in the photo. This is the only public
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
  // True: changes the photo as the released pipeline does, to compare results with it. That pipeline passes the photo as BGR, subtracts
  // Caffe's mean colour and casts the difference to unsigned bytes, so levels below the mean wrap around to bright levels.
  bool released = false;
};

struct CrfInput {
  const uint8_t* rgb;  // (height, width, 3)
  int64_t width, height;
  const float* scores;  // (labels, height, width), probabilities; label 0 is the background
  int64_t labels;
};

// A null pointer is not written to.
struct CrfOutputs {
  float* marginals = nullptr;   // (labels, height, width); their sum is 1 at every pixel
  uint8_t* mask = nullptr;      // (height, width): the byte of the label with the largest marginal; the lower label if marginals are equal
  float* confidence = nullptr;  // (height, width): the largest marginal
  // The mask's byte of labels 1, 2, ... (labels - 1); label 0 is kBackground. Empty: the label's index.
  std::span<const uint8_t> value{};
  float ignore_below = 0;  // a pixel with a smaller confidence becomes kIgnored
};

// The unary energy is -log(clip(score, 1e-5, 1)).
//
// Ties: if all scores are equal, all marginals are. If two labels have equal scores at every pixel and neither is the last label, their
// marginals are equal to the last bit. The last label's marginal is computed from those of the others. Without rounds it is also made equal
// to one that it ties with. But rounds can amplify the rounding error, so after rounds either of the two labels can win.
//
// Throws Error kInvalidArg for: no label or more than 255, an empty photo, a sigma that is not positive or too small for the photo, a
// negative weight or number of rounds, a score that is negative or not finite, and a `value` of the wrong length. Uses all threads of the
// context. docs/crf.md has the memory that it needs.
void dense_crf(HostContext&, const CrfInput&, const CrfSettings&, const CrfOutputs&);

}  // namespace clip_es
