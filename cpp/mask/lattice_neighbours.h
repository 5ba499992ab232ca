// Which lattice points follow each other along an axis. A step adds the same to the quotients of all points of one remainder, so the points
// that are stepped to are looked up by one merge of two sorted lists.
#pragma once
#include <algorithm>
#include <cstdint>
#include <span>
#include <utility>

#include "core/arena.h"
#include "ops/lattice_key.h"

namespace clip_es {

// One layer's points by remainder, then by quotients.
template <int D>
class SortedLayer {
 public:
  struct Point {
    ops::Key quotients;
    uint32_t number;
  };

  SortedLayer() = default;
  // keys: of the points in the order of their numbers. memory: as many.
  SortedLayer(std::span<const ops::Key> keys, std::span<Point> memory) {
    uint32_t count[D + 1] = {};
    for (const ops::Key key : keys) ++count[key & 7];
    Point* end[D + 1];
    Point* at = memory.data();
    for (int r = 0; r <= D; ++r) {
      points_[r] = {at, count[r]};
      end[r] = at;
      at += count[r];
    }
    for (uint32_t number = 0; number < keys.size(); ++number) *end[keys[number] & 7]++ = {keys[number] >> 3, number};
    for (const auto points : points_)
      std::sort(points.begin(), points.end(), [](const Point& a, const Point& b) { return a.quotients < b.quotients; });
  }
  std::span<const Point> with_remainder(int r) const { return points_[r]; }

 private:
  std::span<Point> points_[D + 1];
};

// Calls found(number in `from`, number in `to`) for every point of `to` that is one step along `axis` from a point of `from`. Whether the
// next two points match is a coin's toss, so matches are noted without a branch and reported in blocks.
template <int D, class Found>
void find_steps(const ops::KeyLayout<D>& layout, const SortedLayer<D>& from, const SortedLayer<D>& to, int axis, const Found& found) {
  constexpr size_t kBlock = 64;
  std::pair<uint32_t, uint32_t> matches[kBlock];
  size_t count = 0;
  const auto report = [&] {
    for (size_t n = 0; n < count; ++n) found(matches[n].first, matches[n].second);
    count = 0;
  };
  for (int r = 0; r <= D; ++r) {
    const auto here = from.with_remainder(r), there = to.with_remainder(r == 0 ? D : r - 1);
    const ops::Key step = layout.quotient_step(r, axis);
    for (size_t i = 0, j = 0; i < here.size() && j < there.size();) {
      const ops::Key sought = here[i].quotients + step, seen = there[j].quotients;
      matches[count] = {here[i].number, there[j].number};
      count += sought == seen;
      i += sought <= seen;
      j += seen <= sought;
      if (count == kBlock) report();
    }
  }
  report();
}

}  // namespace clip_es
