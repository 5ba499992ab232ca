// Which lattice points follow each other along an axis.
#pragma once
#include <algorithm>
#include <cstdint>
#include <span>
#include <utility>

#include "crf/lattice_tables.h"
#include "ops/lattice.h"
#include "ops/lattice_key.h"

namespace clip_es {

// One layer of points, and where the ring keeps it.
struct LinkedLayer {
  const PointTable& points;
  ops::LatticeNeighbours* neighbours;  // of its points along an axis
  uint32_t place;
};

// Notes for every point of `to` that is one step along `axis` from a point of `from` that they are neighbours. Whether a point has one is a
// coin's toss, so the first look into the table goes without a branch, and what it found is noted in blocks. The few that have to look
// further come afterwards.
template <int D>
void link_layers(const ops::KeyLayout<D>& layout, const LinkedLayer& from, const LinkedLayer& to, int axis) {
  constexpr uint32_t kBlock = 64;
  ops::Key on[D + 1];
  for (int r = 0; r <= D; ++r) on[r] = layout.step(r, axis);
  const std::span<const ops::Key> keys = from.points.keys();
  const auto count = static_cast<uint32_t>(keys.size());
  const auto link = [&](uint32_t a, uint32_t b) {
    from.neighbours[a].after = to.place + b;
    to.neighbours[b].before = from.place + a;
  };
  for (uint32_t begin = 0; begin < count; begin += kBlock) {
    std::pair<uint32_t, uint32_t> found[kBlock];
    uint32_t further[kBlock], finds = 0, others = 0;
    const uint32_t end = std::min(count, begin + kBlock);
    for (uint32_t a = begin; a < end; ++a) {
      const auto [number, is_it, is_other] = to.points.look(keys[a] + on[keys[a] & 7]);
      found[finds] = {a, number};
      finds += is_it;
      further[others] = a;
      others += is_other;
    }
    for (uint32_t i = 0; i < finds; ++i) link(found[i].first, found[i].second);
    for (uint32_t i = 0; i < others; ++i) {
      const uint32_t a = further[i], number = to.points.find(keys[a] + on[keys[a] & 7]);
      if (number != PointTable::kNone) link(a, number);
    }
  }
}

}  // namespace clip_es
