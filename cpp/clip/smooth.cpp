#include "clip/smooth.h"

#include <algorithm>
#include <cmath>

namespace clip_es {

void smooth(LayerNormWeights& norm, std::vector<float>& weight) {
  constexpr float kDeviations = 3;
  const size_t width = norm.gamma.size();
  std::vector<float> largest(width, 0.0f);  // magnitude in each column
  for (size_t i = 0; i < weight.size(); ++i) largest[i % width] = std::max(largest[i % width], std::fabs(weight[i]));
  for (size_t c = 0; c < width; ++c) {
    const float size = std::fabs(norm.beta[c]) + kDeviations * std::fabs(norm.gamma[c]);
    const float factor = std::sqrt(size / largest[c]);     // SmoothQuant's strength 1/2: both get the same size
    if (!(factor > 0 && std::isfinite(factor))) continue;  // the channel is always zero, or its column of weights is
    norm.gamma[c] /= factor;
    norm.beta[c] /= factor;
    for (size_t i = c; i < weight.size(); i += width) weight[i] *= factor;
  }
}

}  // namespace clip_es
