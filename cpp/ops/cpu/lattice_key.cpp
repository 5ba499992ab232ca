#include "ops/lattice_key.h"

#include <cstring>

#include "ops/cpu/simd.h"

namespace clip_es::ops {
namespace {

constexpr int kLanes = static_cast<int>(kKeyLanes);

// The simplices of 8 pixels. scaled (D, 8): features times Scales. -> quotient (D + 1, 8) of the remainder-0 corner, axis (D + 1, 8):
// the coordinate of each rank, descending by how far it lies above that corner, weight (D + 1, 8) of the corners by remainder.
template <int D>
[[gnu::always_inline]] inline void find_simplices(const float (*scaled)[kLanes], int32_t (*quotient)[kLanes], int32_t (*axis)[kLanes],
                                                  float (*weight)[kLanes]) {
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding and subtracting it rounds to the nearest integer
  float above[D + 1][kLanes], sorted[D + 1][kLanes], elevated[D + 1][kLanes], nearest[D + 1][kLanes];
  int32_t rank[D + 1][kLanes], total[kLanes];
  for (int n = 0; n < kLanes; ++n) {
    float sum = 0, rounded_sum = 0;
    for (int j = D; j > 0; --j) {
      elevated[j][n] = sum - static_cast<float>(j) * scaled[j - 1][n];
      sum += scaled[j - 1][n];
    }
    elevated[0][n] = sum;
    for (int j = 0; j <= D; ++j) {
      const float rounded = (elevated[j][n] * (1.0f / (D + 1)) + kRound) - kRound;
      nearest[j][n] = rounded;
      above[j][n] = elevated[j][n] - rounded * (D + 1);
      rounded_sum += rounded;
      rank[j][n] = 0;
    }
    total[n] = static_cast<int32_t>(rounded_sum);
  }
  for (int i = 0; i < D; ++i)
    for (int j = i + 1; j <= D; ++j)
      for (int n = 0; n < kLanes; ++n) {
        const int32_t less = above[i][n] < above[j][n];
        rank[i][n] += less;
        rank[j][n] += 1 - less;
      }
  // Rounding may leave the plane of coordinate sum 0: the first or last ranks give or take one each.
  for (int j = 0; j <= D; ++j)
    for (int n = 0; n < kLanes; ++n) {
      const int32_t moved = rank[j][n] + total[n];
      const int32_t back = moved < 0 ? 1 : moved > D ? -1 : 0;
      rank[j][n] = moved + back * (D + 1);
      nearest[j][n] += static_cast<float>(back);
      quotient[j][n] = static_cast<int32_t>(nearest[j][n]);
      above[j][n] = elevated[j][n] - nearest[j][n] * (D + 1);
    }
  // Ranks are a permutation: what stands at rank p is picked out by comparing.
  for (int p = 0; p <= D; ++p)
    for (int n = 0; n < kLanes; ++n) {
      float value = 0;
      int32_t at = 0;
      for (int j = 0; j <= D; ++j) {
        const bool here = rank[j][n] == p;
        value = here ? above[j][n] : value;
        at = here ? j : at;
      }
      sorted[p][n] = value;
      axis[p][n] = at;
    }
  for (int n = 0; n < kLanes; ++n) weight[0][n] = (sorted[D][n] - sorted[0][n]) * (1.0f / (D + 1)) + 1.0f;
  for (int k = 1; k <= D; ++k)
    for (int n = 0; n < kLanes; ++n) weight[k][n] = (sorted[D - k][n] - sorted[D - k + 1][n]) * (1.0f / (D + 1));
}

template <int D>
[[gnu::always_inline]] inline void lattice_keys(const KeyLayout<D>& layout, const float* scaled, int64_t stride, int64_t count, Key* keys,
                                                float* weights) {
  Key start = 0;
  for (int i = 0; i < D; ++i) start += static_cast<Key>(layout.offset[i]) << layout.shift[i];
  for (int64_t first = 0; first < count; first += kLanes) {
    float features[D][kLanes], weight[D + 1][kLanes];
    int32_t quotient[D + 1][kLanes], axis[D + 1][kLanes];
    for (int i = 0; i < D; ++i) std::memcpy(features[i], scaled + i * stride + first, sizeof features[i]);
    find_simplices<D>(features, quotient, axis, weight);
    for (int n = 0; n < kLanes; ++n) {
      Key key = start;
      for (int i = 0; i < D; ++i) key += static_cast<Key>(static_cast<int64_t>(quotient[i][n])) << layout.shift[i];
      Key* out = keys + (first + n) * (D + 1);
      out[0] = key;
      // From a corner to the next: +1 in every coordinate but -d in the one of the next lower rank.
      for (int k = 1; k <= D; ++k) out[k] = key = key + 1 - layout.one[axis[D - k + 1][n]];
      for (int k = 0; k <= D; ++k) weights[(first + n) * (D + 1) + k] = weight[k][n];
    }
  }
}

}  // namespace

CLIP_ES_MULTIVERSION void lattice_keys_2(const KeyLayout<2>& layout, const float* scaled, int64_t stride, int64_t count, Key* keys,
                                         float* weights) {
  lattice_keys<2>(layout, scaled, stride, count, keys, weights);
}

CLIP_ES_MULTIVERSION void lattice_keys_5(const KeyLayout<5>& layout, const float* scaled, int64_t stride, int64_t count, Key* keys,
                                         float* weights) {
  lattice_keys<5>(layout, scaled, stride, count, keys, weights);
}

CLIP_ES_MULTIVERSION void find_triangles(const float* x, float y, int64_t count, int32_t* quotient, int32_t* last, float* weights) {
  for (int64_t first = 0; first < count; first += kLanes) {
    float features[2][kLanes], weight[3][kLanes];
    int32_t base[3][kLanes], axis[3][kLanes];
    for (int n = 0; n < kLanes; ++n) {
      features[0][n] = x[first + n < count ? first + n : count - 1];
      features[1][n] = y;
    }
    find_simplices<2>(features, base, axis, weight);
    for (int n = 0; n < kLanes && first + n < count; ++n) {
      int32_t q = base[0][n], coordinate = base[2][n] * 3;
      for (int k = 0; k < 3; ++k) {
        if (k > 0) {
          q -= axis[3 - k][n] == 0;
          coordinate += axis[3 - k][n] == 2 ? -2 : 1;
        }
        quotient[(first + n) * 3 + k] = q;
        last[(first + n) * 3 + k] = coordinate;
        weights[(first + n) * 3 + k] = weight[k][n];
      }
    }
  }
}

}  // namespace clip_es::ops
