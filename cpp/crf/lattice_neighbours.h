// Internal to cpp/crf. Finds the lattice points that are neighbours along an axis.
#pragma once
#include <algorithm>
#include <cstdint>
#include <span>
#include <utility>

#include "crf/lattice_tables.h"
#include "ops/lattice.h"
#include "ops/lattice_key.h"

namespace clip_es::crf {

// The points of one layer, their neighbours along one axis, and the layer's place in the ring.
struct LinkedLayer {
  const PointTable& points;
  ops::LatticeNeighbours* neighbours;
  uint32_t place;
};

// Links each point of `from` with the point of `to` that is one step along `axis` from it, if that point exists. The CPU cannot
// predict whether it exists. So the first probe of the hash table has no branch, and its results are collected in blocks. Only the few
// points whose first probe found another key are searched with branches.
template <int D>
void link_layers(const ops::KeyLayout<D>& layout, const LinkedLayer& from, const LinkedLayer& to, int axis) {
  constexpr uint32_t kBlock = 64;
  ops::Key step[D + 1];
  for (int r = 0; r <= D; ++r) step[r] = layout.step(r, axis);
  const std::span<const ops::Key> keys = from.points.keys();
  const auto count = static_cast<uint32_t>(keys.size());
  const auto link = [&](uint32_t a, uint32_t b) {
    from.neighbours[a].after = to.place + b;
    to.neighbours[b].before = from.place + a;
  };
  for (uint32_t begin = 0; begin < count; begin += kBlock) {
    std::pair<uint32_t, uint32_t> found[kBlock];
    uint32_t collided[kBlock], finds = 0, collisions = 0;
    const uint32_t end = std::min(count, begin + kBlock);
    for (uint32_t a = begin; a < end; ++a) {
      const auto [number, matches, collides] = to.points.probe(keys[a] + step[keys[a] & 7]);
      found[finds] = {a, number};
      finds += matches;
      collided[collisions] = a;
      collisions += collides;
    }
    for (uint32_t i = 0; i < finds; ++i) link(found[i].first, found[i].second);
    for (uint32_t i = 0; i < collisions; ++i) {
      const uint32_t a = collided[i], number = to.points.find(keys[a] + step[keys[a] & 7]);
      if (number != PointTable::kNone) link(a, number);
    }
  }
}

}  // namespace clip_es::crf
