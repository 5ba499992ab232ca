#include "crf_support.h"

#include <algorithm>
#include <cmath>

#include "check.h"
#include "crf/reference/dense_crf.h"

using namespace clip_es;
using reference::Matrix;

Scene four_patches(int64_t width, int64_t height, int64_t labels, uint32_t seed) {
  Random random(seed);
  Scene s{width, height, labels, {}, {}};
  const std::vector<float> noise = random.normal(width * height * 3, 3);
  const int colours[4][3] = {{200, 60, 40}, {40, 180, 90}, {60, 70, 200}, {220, 210, 190}};
  for (int64_t i = 0; i < width * height; ++i)
    for (int64_t c = 0; c < 3; ++c) {
      const int patch = (i % width * 2 >= width) + 2 * (i / width * 2 >= height);
      s.rgb.push_back(static_cast<uint8_t>(std::clamp(static_cast<float>(colours[patch][c]) + noise[i * 3 + c], 0.0f, 255.0f)));
    }
  s.scores = random.uniform(labels * width * height);
  for (int64_t i = 0; i < width * height; ++i) {
    const int64_t patch = (i % width * 2 >= width) + 2 * (i / width * 2 >= height);
    s.scores[patch % labels * width * height + i] += 0.3f;
  }
  return s;
}

std::vector<float> marginals_of(HostContext& context, const Scene& s, const CrfSettings& settings) {
  std::vector<float> marginals(s.scores.size(), NAN);
  dense_crf(context, s.input(), settings, {.marginals = marginals.data()});
  return marginals;
}

std::vector<double> naive_marginals(const Scene& s, const CrfSettings& settings) {
  return reference::dense_crf(s.rgb, s.width, s.height, Matrix(s.labels, s.width * s.height, s.scores), settings).values;
}

Labelled labelled(const Scene& s, const CrfSettings& settings, const std::vector<uint8_t>& value, float ignore_below) {
  Labelled result{std::vector<uint8_t>(s.pixels(), 77), std::vector<float>(s.pixels(), NAN)};
  dense_crf(context_with(3), s.input(), settings,
            {.mask = result.mask.data(), .confidence = result.confidence.data(), .value = value, .ignore_below = ignore_below});
  return result;
}

double mean_difference(const std::vector<float>& a, const std::vector<double>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += std::abs(static_cast<double>(a[i]) - b[i]);
  return sum / static_cast<double>(a.size());
}

void check_distribution(const std::vector<float>& marginals, int64_t labels) {
  const size_t pixels = marginals.size() / static_cast<size_t>(labels);
  for (size_t i = 0; i < pixels; ++i) {
    double sum = 0;
    for (size_t l = 0; l < static_cast<size_t>(labels); ++l) {
      CHECK(marginals[l * pixels + i] >= 0 && marginals[l * pixels + i] <= 1.000001f);
      sum += static_cast<double>(marginals[l * pixels + i]);
    }
    CHECK_BELOW(std::abs(sum - 1), 1e-5);
  }
}
