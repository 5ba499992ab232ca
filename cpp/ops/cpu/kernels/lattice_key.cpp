// See ops/lattice_key.h. The build forbids fused multiply-adds in this file, so that every level computes the same keys and weights.
#include "ops/cpu/kernels.h"
#include "ops/cpu/kernels/vector_math.h"

namespace clip_es::ops::CLIP_ES_LEVEL {
namespace {

using Key = uint64_t;
constexpr int kLanes = kFloatLanes;  // pixels at a time: kKeyLanes, or half as many

typedef int32_t Ints __attribute__((vector_size(4 * kLanes)));
typedef Key Longs __attribute__((vector_size(8 * kLanes)));
typedef int64_t SignedLongs __attribute__((vector_size(8 * kLanes)));

// Finds the simplices of kLanes pixels. scaled (D): features times LatticeScale. quotient (D + 1): of the corner with remainder 0. rank (D
// + 1): of each coordinate, 0 for the one that is furthest above that corner. weight (D + 1): of the corners, by remainder. A comparison of
// vectors gives -1 where it is true.
template <int D>
CLIP_ES_INLINE void find_simplices(const Floats (&scaled)[D], Ints (&quotient)[D + 1], Ints (&rank)[D + 1], Floats (&weight)[D + 1]) {
  Floats above[D + 1], sorted[D + 1], elevated[D + 1], nearest[D + 1];
  Floats sum{}, rounded_sum{};
  for (int j = D; j > 0; --j) {
    elevated[j] = sum - static_cast<float>(j) * scaled[j - 1];
    sum += scaled[j - 1];
  }
  elevated[0] = sum;
  for (int j = 0; j <= D; ++j) {
    nearest[j] = (elevated[j] * (1.0f / (D + 1)) + kRound) - kRound;
    above[j] = elevated[j] - nearest[j] * (D + 1);
    rounded_sum += nearest[j];
    rank[j] = Ints{};
  }
  for (int i = 0; i < D; ++i)
    for (int j = i + 1; j <= D; ++j) {
      const Ints less = above[i] < above[j];
      rank[i] -= less;
      rank[j] += less + 1;
    }
  // After rounding, the coordinates may not sum to 0. Then those of the first or last ranks change by one.
  const Ints total = __builtin_convertvector(rounded_sum, Ints);
  for (int j = 0; j <= D; ++j) {
    const Ints moved = rank[j] + total, back = (moved > D) - (moved < 0);
    rank[j] = moved + back * (D + 1);
    nearest[j] += __builtin_convertvector(back, Floats);
    quotient[j] = __builtin_convertvector(nearest[j], Ints);
    above[j] = elevated[j] - nearest[j] * (D + 1);
  }
  // Ranks are a permutation, so comparing with p selects the coordinate of rank p.
  for (int p = 0; p <= D; ++p) {
    sorted[p] = above[0];
    for (int j = 1; j <= D; ++j) sorted[p] = rank[j] == p ? above[j] : sorted[p];
  }
  weight[0] = (sorted[D] - sorted[0]) * (1.0f / (D + 1)) + 1.0f;
  for (int k = 1; k <= D; ++k) weight[k] = (sorted[D - k] - sorted[D - k + 1]) * (1.0f / (D + 1));
}

// All bits are set where x is value.
CLIP_ES_INLINE void equal(const Ints& x, int value, Longs& mask) {
#if defined(__AVX512F__)
  mask = (Longs)(__builtin_convertvector(x, SignedLongs) == value);
#else
  mask = (Longs) __builtin_convertvector(x == value, SignedLongs);
#endif
}

// (count, kLanes) -> (kLanes, count)
template <class Value, class Vector, int Count>
CLIP_ES_INLINE void interleave(const Vector (&vectors)[Count], Value* out) {
  Value rows[Count][kLanes];
  std::memcpy(rows, vectors, sizeof rows);
  for (int n = 0; n < kLanes; ++n)
    for (int k = 0; k < Count; ++k) out[n * Count + k] = rows[k][n];
}

template <int D>
CLIP_ES_INLINE void lattice_keys(const KeyParts& layout, const float* scaled, int64_t stride, int64_t count, Key* keys, float* weights) {
  for (int64_t first = 0; first < count; first += kLanes) {
    Floats features[D], weight[D + 1];
    Ints quotient[D + 1], rank[D + 1];
    for (int i = 0; i < D; ++i) std::memcpy(&features[i], scaled + i * stride + first, sizeof features[i]);
    find_simplices<D>(features, quotient, rank, weight);
    Longs key = Longs{} + layout.start;
    for (int i = 0; i < D; ++i) key += __builtin_convertvector(quotient[i], Longs) << layout.shift[i];  // negative ones wrap modulo 2^64
    std::memcpy(keys + first, &key, sizeof key);
    for (int k = 1; k <= D; ++k) {  // the next corner: +1 in every coordinate, -d in the coordinate of the next lower rank
      key += 1;
      for (int i = 0; i < D; ++i) {
        Longs next;
        equal(rank[i], D - k + 1, next);
        key -= next & layout.one[i];
      }
      std::memcpy(keys + k * stride + first, &key, sizeof key);
    }
    interleave(weight, weights + first * (D + 1));
  }
}

}  // namespace

void lattice_keys_2(const KeyParts& layout, const float* scaled, int64_t stride, int64_t count, Key* keys, float* weights) {
  lattice_keys<2>(layout, scaled, stride, count, keys, weights);
}

void lattice_keys_5(const KeyParts& layout, const float* scaled, int64_t stride, int64_t count, Key* keys, float* weights) {
  lattice_keys<5>(layout, scaled, stride, count, keys, weights);
}

void find_triangles(const float* x, float y, int64_t count, int32_t* quotient, int32_t* last, float* weights) {
  for (int64_t first = 0; first < count; first += kLanes) {
    Floats features[2], weight[3];
    Ints base[3], rank[3], quotients[3], coordinates[3];
    std::memcpy(&features[0], x + first, sizeof features[0]);
    features[1] = Floats{} + y;
    find_simplices<2>(features, base, rank, weight);
    quotients[0] = base[0];
    coordinates[0] = base[2] * 3;
    for (int k = 1; k < 3; ++k) {
      quotients[k] = quotients[k - 1] + (rank[0] == 3 - k);
      coordinates[k] = coordinates[k - 1] + 1 + 3 * (rank[2] == 3 - k);
    }
    interleave(quotients, quotient + first * 3);
    interleave(coordinates, last + first * 3);
    interleave(weight, weights + first * 3);
  }
}

}  // namespace clip_es::ops::CLIP_ES_LEVEL
