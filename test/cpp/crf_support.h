// Photos and scores for the tests of the dense CRF, and its results in the forms that these tests compare.
#pragma once
#include <vector>

#include "crf/dense_crf.h"
#include "support.h"

struct Scene {
  int64_t width, height, labels;
  std::vector<uint8_t> rgb;
  std::vector<float> scores;  // (labels, height, width)

  size_t pixels() const { return static_cast<size_t>(width * height); }
  clip_es::CrfInput input() const { return {rgb.data(), width, height, scores.data(), labels}; }
};

// Four patches of colour with some noise, and random scores that favour one label in each patch.
Scene four_patches(int64_t width, int64_t height, int64_t labels, uint32_t seed = 1);

// The marginals of the CRF: (labels, height, width).
std::vector<float> marginals_of(clip_es::HostContext&, const Scene&, const clip_es::CrfSettings& = {});
// The marginals of the naive twin, which sums over all pairs of pixels.
std::vector<double> naive_marginals(const Scene&, const clip_es::CrfSettings& = {});

struct Labelled {
  std::vector<uint8_t> mask;
  std::vector<float> confidence;
};
Labelled labelled(const Scene&, const clip_es::CrfSettings& = {}, const std::vector<uint8_t>& value = {}, float ignore_below = 0);

double mean_difference(const std::vector<float>&, const std::vector<double>&);
// Checks that each value is between 0 and 1 and that the values of each pixel add up to 1.
void check_distribution(const std::vector<float>& marginals, int64_t labels);
