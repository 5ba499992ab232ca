// The simplex of the permutohedral lattice in which a pixel lies, and the keys of lattice points (Adams, Baek and Davis 2010, section 3).
#pragma once
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

namespace clip_es::ops {

using Key = uint64_t;

// A pixel on the border of two simplices may be assigned to either of them. Its interpolated value is the same, but the choice decides
// which lattice points exist, and with more points the blur reaches further. So every step of this choice is rounded as in the authors'
// code, and the result is the same on every CPU: the build forbids fused multiply-adds in kernels/lattice_key.cpp.

// The factor of each feature before it is elevated: the length of E's column times the standard deviation of splat, blur and slice
// together, in lattice units.
template <int D>
struct LatticeScale {
  float factor[D];
  LatticeScale() {
    const auto deviation = static_cast<float>(std::sqrt(2.0 / 3.0) * (D + 1));  // rounded to float here, as in the authors' code
    for (int i = 0; i < D; ++i) factor[i] = static_cast<float>(1.0 / std::sqrt((i + 2.0) * (i + 1.0)) * deviation);
  }
};

// The d + 1 coordinates of a lattice point sum to 0 and have the same remainder r modulo d + 1, so r and the first d quotients identify the
// point. A key has r in its low 3 bits and then the quotients in separate bits. An offset makes each quotient positive.
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

  // The number to add, modulo 2^64, to the key of a point with remainder r for one step along `axis`. A step is +d in that coordinate and
  // -1 in the others: r decreases by 1 and one quotient increases by 1, and where r = 0, r becomes d and all quotients decrease by 1.
  Key step(int r, int axis) const { return one[axis] + (r == 0 ? Key{D} - ones : ~Key{0}); }

  // The layer of a lattice point, counted from the offsets: a step along an axis changes it by at most kLayerStep. In 5 dimensions it is
  // (x_0 + x_1 + x_2) / 3, which a step changes by 1 or -1; in 2 dimensions it is x_0, which a step changes by 2 or -1.
  static constexpr int64_t kLayerStep = D == 5 ? 1 : D;
  static constexpr int64_t layer_step(int axis) { return D == 5 ? (axis < 3 ? 1 : -1) : axis == 0 ? D : -1; }
  int64_t layer(Key key) const {
    const auto quotient = [&](int i) { return static_cast<int64_t>((key >> shift[i]) & ((Key{1} << (shift[i + 1] - shift[i])) - 1)); };
    const int64_t remainder = key & 7;
    if constexpr (D == 5) return 2 * (quotient(0) + quotient(1) + quotient(2)) + remainder;
    else return (D + 1) * quotient(0) + remainder;
  }
};

constexpr int64_t kKeyLanes = 8;

// Computes the keys of the corners and their barycentric weights. scaled (D, stride): features times LatticeScale, of which the first
// `count` are read. count must be a multiple of kKeyLanes. keys (D + 1, stride), weights (count, D + 1): a corner's index is its remainder.
// Runs on the calling thread.
void lattice_keys_2(const KeyLayout<2>&, const float* scaled, int64_t stride, int64_t count, Key* keys, float* weights);
void lattice_keys_5(const KeyLayout<5>&, const float* scaled, int64_t stride, int64_t count, Key* keys, float* weights);

// The same in 2 dimensions for one row of pixels, with coordinates instead of keys. quotient (count, 3): the first coordinate of each
// corner divided by 3, rounded down. last (count, 3): the last coordinate. count must be a multiple of kKeyLanes. Runs on the calling
// thread.
void find_triangles(const float* x, float y, int64_t count, int32_t* quotient, int32_t* last, float* weights);

}  // namespace clip_es::ops
