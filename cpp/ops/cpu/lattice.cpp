#include "ops/lattice.h"

#include <bit>
#include <cmath>

#include "ops/cpu/simd.h"
#include "ops/cpu/vectors.h"

namespace clip_es::ops {
namespace {

// Calls a loop, a struct with `template <class V> void run() const`, for the vector that holds `width` channels.
template <class Loop>
CLIP_ES_INLINE void with_width(int64_t width, const Loop& loop) {
  if (width == 8) loop.template run<Float8>();
  else if (width == 4) loop.template run<Float4>();
  else if (width == 2) loop.template run<Float2>();
  else loop.template run<float>();
}

template <class V>
constexpr int64_t kWidth = static_cast<int64_t>(sizeof(V) / sizeof(float));

template <int K>
struct Splat {
  const LatticeCorners& in;
  const float* pixels;
  int64_t count;
  float* slots;
  template <class V>
  CLIP_ES_INLINE void run() const {
    const uint16_t* slot = in.slot;
    const float* weight = in.weight;
    for (int64_t i = 0; i < count; ++i, slot += K, weight += K) {
      V pixel, sum;
      load(pixel, pixels + i * kWidth<V>);
      for (int k = 0; k < K; ++k) {
        float* at = slots + slot[k] * kWidth<V>;
        load(sum, at);
        sum += pixel * weight[k];
        store(at, sum);
      }
    }
  }
};

template <int K>
struct Slice {
  const LatticeCorners& in;
  const float* slots;
  int64_t count;
  bool add;
  float* pixels;
  template <class V>
  CLIP_ES_INLINE void run() const {
    const uint16_t* slot = in.slot;
    const float* weight = in.weight;
    for (int64_t i = 0; i < count; ++i, slot += K, weight += K) {
      V sum{}, value;
      if (add) load(sum, pixels + i * kWidth<V>);
      for (int k = 0; k < K; ++k) {
        load(value, slots + slot[k] * kWidth<V>);
        sum += value * weight[k];
      }
      store(pixels + i * kWidth<V>, sum);
    }
  }
};

constexpr int64_t kAhead = 16;  // values on their way from memory

struct Fetch {
  const float* points;
  const uint32_t* point;
  int64_t count;
  float* slots;
  template <class V>
  CLIP_ES_INLINE void run() const {
    for (int64_t s = 0; s < count; ++s) {
      __builtin_prefetch(points + static_cast<int64_t>(point[s + kAhead < count ? s + kAhead : s]) * kWidth<V>);
      V value;
      load(value, points + static_cast<int64_t>(point[s]) * kWidth<V>);
      store(slots + s * kWidth<V>, value);
    }
  }
};

struct Store {
  const float* slots;
  const uint32_t* home;
  int64_t count, own;
  float *points, *guests;
  CLIP_ES_INLINE float* place(int64_t s, int64_t width) const {
    const int64_t at = home[s < count ? s : count - 1];
    return at < own ? points + at * width : guests + (at - own) * width;
  }
  template <class V>
  CLIP_ES_INLINE void run() const {
    for (int64_t s = 0; s < count; ++s) {
      __builtin_prefetch(place(s + kAhead, kWidth<V>), 1);
      V value;
      load(value, slots + s * kWidth<V>);
      store(place(s, kWidth<V>), value);
    }
  }
};

struct Add {
  const float* guests;
  const uint32_t* point;
  int64_t count;
  float* points;
  template <class V>
  CLIP_ES_INLINE void run() const {
    for (int64_t g = 0; g < count; ++g) {
      __builtin_prefetch(points + static_cast<int64_t>(point[g + kAhead < count ? g + kAhead : g]) * kWidth<V>, 1);
      V sum, value;
      float* at = points + static_cast<int64_t>(point[g]) * kWidth<V>;
      load(sum, at);
      load(value, guests + g * kWidth<V>);
      sum += value;
      store(at, sum);
    }
  }
};

// Each entry's value is read once and written once: the one before is kept, the one after is read ahead.
struct Blur {
  const uint32_t* entries;
  int64_t count;
  float* points;
  CLIP_ES_INLINE float* point(int64_t e, int64_t width) const {
    return points + static_cast<int64_t>(entries[e < count ? e : count - 1] & ~kLinked) * width;
  }
  template <class V>
  CLIP_ES_INLINE void run() const {
    V before{}, here, after;
    float link_before = 0;
    float* at = point(0, kWidth<V>);
    load(here, at);
    for (int64_t e = 0; e < count; ++e) {
      __builtin_prefetch(point(e + kAhead, kWidth<V>), 1);
      const float link_after = std::bit_cast<float>((entries[e] >> 31) * 0x3f000000u);  // 0.5 where linked, without a branch
      float* next = point(e + 1, kWidth<V>);
      load(after, next);
      const V blurred = here + before * link_before + after * link_after;
      store(at, blurred);
      before = here;
      here = after;
      link_before = link_after;
      at = next;
    }
  }
};

}  // namespace

CLIP_ES_MULTIVERSION void lattice_splat(const LatticeCorners& in, const float* pixels, int64_t count, int64_t width, float* slots) {
  if (in.corners == 3) with_width(width, Splat<3>{in, pixels, count, slots});
  else with_width(width, Splat<6>{in, pixels, count, slots});
}

CLIP_ES_MULTIVERSION void lattice_slice(const LatticeCorners& in, const float* slots, int64_t count, int64_t width, bool add,
                                        float* pixels) {
  if (in.corners == 3) with_width(width, Slice<3>{in, slots, count, add, pixels});
  else with_width(width, Slice<6>{in, slots, count, add, pixels});
}

CLIP_ES_MULTIVERSION void lattice_fetch(const float* points, const uint32_t* point, int64_t count, int64_t width, float* slots) {
  with_width(width, Fetch{points, point, count, slots});
}

CLIP_ES_MULTIVERSION void lattice_store(const float* slots, const uint32_t* home, int64_t count, int64_t width, int64_t own, float* points,
                                        float* guests) {
  with_width(width, Store{slots, home, count, own, points, guests});
}

CLIP_ES_MULTIVERSION void lattice_add(const float* guests, const uint32_t* point, int64_t count, int64_t width, float* points) {
  with_width(width, Add{guests, point, count, points});
}

CLIP_ES_MULTIVERSION void lattice_blur(const uint32_t* entries, int64_t count, int64_t width, float* points) {
  if (count > 0) with_width(width, Blur{entries, count, points});
}

CLIP_ES_MULTIVERSION void lattice_blur_row(const float* here, const float* before, const float* after, int64_t count, float* out) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) out[i] = here[i] + 0.5f * (before[i] + after[i]);
}

CLIP_ES_MULTIVERSION void normalise_weights(const float* sums, int64_t count, int64_t corners, float strength, float* weight) {
  const float alpha = 1.0f / (1.0f + std::exp2(-static_cast<float>(corners - 1)));
  const float numerator = std::sqrt(strength * alpha);
  for (int64_t i = 0; i < count; ++i) {
    const float factor = numerator / std::sqrt(sums[i] * alpha + 1e-20f);
    for (int64_t k = 0; k < corners; ++k) weight[i * corners + k] *= factor;
  }
}

}  // namespace clip_es::ops
