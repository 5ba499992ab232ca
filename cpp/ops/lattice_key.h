// Which points of the permutohedral lattice a pixel lies among, and how a point is named (Adams, Baek and Davis 2010, section 3).
#pragma once
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

namespace clip_es::ops {

using Key = uint64_t;

// A pixel on the border of two simplices lies in either: its values change by nothing, but the points that then exist carry the blur
// further. So all arithmetic up to the simplex is rounded as in the usual code, step by step (the build forbids fused multiply-adds in
// lattice_key.cpp), and is the same on every processor.

// What each feature is multiplied by before it is elevated: the length of E's column times the deviation, in lattice units, of splat,
// blur and slice together.
template <int D>
struct LatticeScale {
  float factor[D];
  LatticeScale() {
    const auto deviation = static_cast<float>(std::sqrt(2.0 / 3.0) * (D + 1));  // rounded where the usual code rounds it
    for (int i = 0; i < D; ++i) factor[i] = static_cast<float>(1.0 / std::sqrt((i + 2.0) * (i + 1.0)) * deviation);
  }
};

// A lattice point's d + 1 coordinates sum to 0 and leave the same remainder r modulo d + 1, so r and the first d quotients name it.
// Packed: r in the low 3 bits, then the quotients, each in its own bits and offset so that none is ever negative.
template <int D>
struct KeyLayout {
  int shift[D + 1];
  int64_t offset[D];  // added to quotient i
  Key one[D + 1];     // 1 of quotient i; 0 for the last coordinate, which is not stored
  Key ones = 0;       // 1 of every quotient

  KeyLayout(const int64_t lowest[D], const int64_t highest[D]) {
    int at = 3;
    for (int i = 0; i < D; ++i) {
      offset[i] = 1 - lowest[i];
      shift[i] = at;
      one[i] = Key{1} << std::min(at, 63);
      ones += one[i];
      at += std::bit_width(static_cast<uint64_t>(highest[i] + offset[i] + 1));
    }
    one[D] = 0;
    shift[D] = at;
  }
  bool fits() const { return shift[D] <= 64; }

  // One step along `axis` is -1 in every coordinate but +d in that one: r - 1 with one quotient more, where r = 0 goes on to d with all
  // quotients one less. What it adds to the key of a point with remainder r, modulo 2^64.
  Key step(int r, int axis) const { return one[axis] + (r == 0 ? Key{D} - ones : ~Key{0}); }

  // Layers of lattice points: a step along an axis leads at most kLayerStep on or back. (x_0 + x_1 + x_2) / 3 in 5 dimensions, which steps
  // change by 1 or -1, and x_0 in 2, by 2 or -1. Counted from the offsets.
  static constexpr int64_t kLayerStep = D == 5 ? 1 : D;
  static constexpr int64_t layer_step(int axis) { return D == 5 ? (axis < 3 ? 1 : -1) : axis == 0 ? D : -1; }
  int64_t layer(Key key) const {
    const auto quotient = [&](int i) { return static_cast<int64_t>((key >> shift[i]) & ((Key{1} << (shift[i + 1] - shift[i])) - 1)); };
    const auto remainder = static_cast<int64_t>(key & 7);
    if constexpr (D == 5) return 2 * (quotient(0) + quotient(1) + quotient(2)) + remainder;
    else return (D + 1) * quotient(0) + remainder;
  }
};

constexpr int64_t kKeyLanes = 8;

// Keys of the corners and their barycentric weights. scaled (D, stride): features times LatticeScale; the first `count`, a multiple of
// kKeyLanes, are read. keys (D + 1, stride), weights (count, D + 1), a corner's place being its remainder. One thread.
void lattice_keys_2(const KeyLayout<2>&, const float* scaled, int64_t stride, int64_t count, Key* keys, float* weights);
void lattice_keys_5(const KeyLayout<5>&, const float* scaled, int64_t stride, int64_t count, Key* keys, float* weights);

// The same in 2 dimensions for one row of pixels, by coordinates: quotient (count, 3) of the corners' first coordinate by 3, and last
// (count, 3), their last coordinate. count is a multiple of kKeyLanes. One thread.
void find_triangles(const float* x, float y, int64_t count, int32_t* quotient, int32_t* last, float* weights);

}  // namespace clip_es::ops
