// The scores of every pixel: background = (1 - largest map) ^ power, at least background_below, then the maps. The label is the first one
// with the largest score.
#include <algorithm>
#include <cmath>

#include "core/mask.h"
#include "ops/reference/reference.h"

namespace clip_es::reference {

PseudoMask pseudo_mask(const Matrix& maps, int64_t grid_height, int64_t grid_width, std::span<const uint8_t> value, int64_t width,
                       int64_t height, double background_power, double ignore_below, double background_below) {
  const int64_t pixels = width * height;
  PseudoMask result{Matrix(1 + maps.rows, pixels), {}, {}};
  for (int64_t k = 0; k < maps.rows; ++k) {
    const auto first = maps.values.begin() + k * maps.columns;
    Matrix map(grid_height, grid_width);
    map.values = min_max({first, first + maps.columns});
    const Matrix full = resize_bilinear(map, height, width);
    for (int64_t i = 0; i < pixels; ++i) result.scores(1 + k, i) = full.values[i];
  }
  for (int64_t i = 0; i < pixels; ++i) {
    double largest = 0;
    for (int64_t k = 1; k <= maps.rows; ++k) largest = std::max(largest, result.scores(k, i));
    result.scores(0, i) = std::max(std::pow(1 - largest, background_power), background_below);
    int64_t winner = 0;
    for (int64_t k = 1; k <= maps.rows; ++k)
      if (result.scores(k, i) > result.scores(winner, i)) winner = k;
    const double score = result.scores(winner, i);
    result.confidence.push_back(score);
    result.mask.push_back(score < ignore_below ? kIgnored : winner == 0 ? uint8_t{0} : value[winner - 1]);
  }
  return result;
}

}  // namespace clip_es::reference
