// Internal to cpp/crf. The pixels' features in units of the lattice, before they are elevated to its d + 1 coordinates.
#pragma once
#include <algorithm>
#include <cstdint>
#include <span>

#include "crf/permutohedral_lattice.h"
#include "crf/tiles.h"
#include "ops/lattice_key.h"

namespace clip_es::crf {

// A pixel's features times ops::LatticeScale: x by column, y by row, level[c] by the byte of a colour. These are tables, because each
// feature of a pixel depends on only one of these numbers. The memory comes from the arena.
template <int D>
struct ScaledFeatures {
  std::span<float> x, y, level[3];

  ScaledFeatures(Arena& arena, int64_t width, int64_t height, const LatticeFeatures& f) {
    const ops::LatticeScale<D> scale;
    x = arena.take<float>(width);
    y = arena.take<float>(height);
    for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i) / f.position_sigma * scale.factor[0];
    for (size_t i = 0; i < y.size(); ++i) y[i] = static_cast<float>(i) / f.position_sigma * scale.factor[1];
    if constexpr (D == 5)
      for (size_t c = 0; c < 3; ++c) {
        level[c] = arena.take<float>(256);
        for (size_t i = 0; i < 256; ++i)
          level[c][i] = f.levels[static_cast<size_t>(f.channel[c]) * 256 + i] / f.colour_sigma * scale.factor[c + 2];
      }
  }

  // Room for all quotients (coordinate / (d + 1)) of the points that pixels can touch, and of those points' neighbours.
  ops::KeyLayout<D> layout() const {
    double largest[D] = {x.back(), y.back()};
    if constexpr (D == 5)
      for (int c = 0; c < 3; ++c) largest[c + 2] = *std::max_element(level[c].begin(), level[c].end());
    int64_t lowest[D], highest[D];
    double above = 0;
    for (int i = D - 1; i >= 0; --i) above += largest[i];
    for (int i = 0; i < D; ++i) {
      // Coordinate i is (sum of the features from i on) - i * (feature i - 1). Bounded, so that any size converts to int64_t.
      const double low = i ? -i * largest[i - 1] : 0;
      lowest[i] = static_cast<int64_t>(std::max(low / (D + 1), -1e15)) - 3;
      highest[i] = static_cast<int64_t>(std::min(above / (D + 1), 1e15)) + 3;
      above -= largest[i];
    }
    return ops::KeyLayout<D>(lowest, highest);
  }
};

}  // namespace clip_es::crf
