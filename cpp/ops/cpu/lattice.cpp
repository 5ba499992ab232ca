#include "ops/lattice.h"

#include <bit>
#include <cmath>

#include "ops/cpu/simd.h"
#include "ops/cpu/vectors.h"

namespace clip_es::ops {
namespace {

template <class V>
constexpr int64_t kLanes = static_cast<int64_t>(sizeof(V) / sizeof(float));

// The values of one pixel or lattice point, as many channels as registers hold: Vectors of V and, with Tail, four floats more.
template <class V, int Vectors, bool Tail>
struct Value {
  static constexpr int64_t kChannels = Vectors * kLanes<V> + (Tail ? 4 : 0);
  V part[Vectors];
  Float4 tail;

  CLIP_ES_INLINE void clear() {
    for (int i = 0; i < Vectors; ++i) part[i] = V{};
    if (Tail) tail = Float4{};
  }
  CLIP_ES_INLINE void read(const float* p) {
    for (int i = 0; i < Vectors; ++i) load(part[i], p + i * kLanes<V>);
    if (Tail) load(tail, p + Vectors * kLanes<V>);
  }
  CLIP_ES_INLINE void write(float* p) const {
    for (int i = 0; i < Vectors; ++i) store(p + i * kLanes<V>, part[i]);
    if (Tail) store(p + Vectors * kLanes<V>, tail);
  }
  CLIP_ES_INLINE void add(const Value& other, float factor) {
    for (int i = 0; i < Vectors; ++i) part[i] += other.part[i] * factor;
    if (Tail) tail += other.tail * factor;
  }
  CLIP_ES_INLINE void add(const Value& other) {
    for (int i = 0; i < Vectors; ++i) part[i] += other.part[i];
    if (Tail) tail += other.tail;
  }
  CLIP_ES_INLINE static void prefetch(const float* p) {
    __builtin_prefetch(p, 1);
    if (kChannels > 8) __builtin_prefetch(p + 16, 1);
  }
};

// Calls a loop, a struct with `template <class Value> static void run(stride, arguments…)`, for all channels: at most 24 at once, the
// pointers to values moved on in between.
template <class Loop, class... Pointers>
CLIP_ES_INLINE void for_channels(int64_t channels, const Loop& loop, Pointers... values) {
  if (channels == 1) return loop.template run<Value<float, 1, false>>(channels, values...);
  if (channels == 2) return loop.template run<Value<Float2, 1, false>>(channels, values...);
  int64_t c = 0;
  for (; c + 24 <= channels; c += 24) loop.template run<Value<Float8, 3, false>>(channels, values + c...);
  const int64_t rest = channels - c;
  if (rest == 4) loop.template run<Value<Float4, 1, false>>(channels, values + c...);
  else if (rest == 8) loop.template run<Value<Float8, 1, false>>(channels, values + c...);
  else if (rest == 12) loop.template run<Value<Float8, 1, true>>(channels, values + c...);
  else if (rest == 16) loop.template run<Value<Float8, 2, false>>(channels, values + c...);
  else if (rest == 20) loop.template run<Value<Float8, 2, true>>(channels, values + c...);
}

template <int K>
struct Splat {
  const LatticeCorners& in;
  int64_t count;
  template <class V>
  CLIP_ES_INLINE void run(int64_t channels, const float* pixels, float* slots) const {
    if (channels == V::kChannels) run_at<V>(V::kChannels, pixels, slots);  // a constant stride
    else run_at<V>(channels, pixels, slots);
  }
  template <class V>
  CLIP_ES_INLINE void run_at(int64_t stride, const float* pixels, float* slots) const {
    const uint16_t* slot = in.slot;
    const float* weight = in.weight;
    for (int64_t i = 0; i < count; ++i, slot += K, weight += K) {
      V pixel, sum;
      pixel.read(pixels + i * stride);
      for (int k = 0; k < K; ++k) {
        float* at = slots + slot[k] * stride;
        sum.read(at);
        sum.add(pixel, weight[k]);
        sum.write(at);
      }
    }
  }
};

template <int K>
struct Slice {
  const LatticeCorners& in;
  int64_t count;
  bool add;
  template <class V>
  CLIP_ES_INLINE void run(int64_t channels, const float* slots, float* pixels) const {
    if (channels == V::kChannels) run_at<V>(V::kChannels, slots, pixels);
    else run_at<V>(channels, slots, pixels);
  }
  template <class V>
  CLIP_ES_INLINE void run_at(int64_t stride, const float* slots, float* pixels) const {
    const uint16_t* slot = in.slot;
    const float* weight = in.weight;
    for (int64_t i = 0; i < count; ++i, slot += K, weight += K) {
      V sum, value;
      sum.clear();
      if (add) sum.read(pixels + i * stride);
      for (int k = 0; k < K; ++k) {
        value.read(slots + slot[k] * stride);
        sum.add(value, weight[k]);
      }
      sum.write(pixels + i * stride);
    }
  }
};

constexpr int64_t kAhead = 12;  // values on their way from memory

struct Fetch {
  const uint32_t* point;
  int64_t count;
  template <class V>
  CLIP_ES_INLINE void run(int64_t stride, const float* points, float* slots) const {
    for (int64_t s = 0; s < count; ++s) {
      V::prefetch(points + static_cast<int64_t>(point[s + kAhead < count ? s + kAhead : s]) * stride);
      V value;
      value.read(points + static_cast<int64_t>(point[s]) * stride);
      value.write(slots + s * stride);
    }
  }
};

struct Store {
  const uint32_t* home;
  int64_t count, own;
  CLIP_ES_INLINE float* place(int64_t s, int64_t stride, float* points, float* guests) const {
    const int64_t at = home[s < count ? s : count - 1];
    return at < own ? points + at * stride : guests + (at - own) * stride;
  }
  template <class V>
  CLIP_ES_INLINE void run(int64_t stride, const float* slots, float* points, float* guests) const {
    for (int64_t s = 0; s < count; ++s) {
      V::prefetch(place(s + kAhead, stride, points, guests));
      V value;
      value.read(slots + s * stride);
      value.write(place(s, stride, points, guests));
    }
  }
};

struct Add {
  const uint32_t* point;
  int64_t count;
  template <class V>
  CLIP_ES_INLINE void run(int64_t stride, const float* guests, float* points) const {
    for (int64_t g = 0; g < count; ++g) {
      V::prefetch(points + static_cast<int64_t>(point[g + kAhead < count ? g + kAhead : g]) * stride);
      V sum, value;
      float* at = points + static_cast<int64_t>(point[g]) * stride;
      sum.read(at);
      value.read(guests + g * stride);
      sum.add(value);
      sum.write(at);
    }
  }
};

// Each entry's value is read once and written once: the one before is kept, the one after is read ahead.
struct Blur {
  const uint32_t* entries;
  int64_t count;
  CLIP_ES_INLINE int64_t point(int64_t e) const { return entries[e < count ? e : count - 1] & ~kLinked; }
  template <class V>
  CLIP_ES_INLINE void run(int64_t stride, float* points) const {
    V before, here, after;
    float link_before = 0;
    float* at = points + point(0) * stride;
    before.clear();
    here.read(at);
    for (int64_t e = 0; e < count; ++e) {
      V::prefetch(points + point(e + kAhead) * stride);
      const float link_after =
          std::bit_cast<float>((entries[e] >> 31) * 0x3f000000u);  // 0.5 where the next entry follows, without a branch
      float* next = points + point(e + 1) * stride;
      after.read(next);
      V blurred = here;
      blurred.add(before, link_before);
      blurred.add(after, link_after);
      blurred.write(at);
      before = here;
      here = after;
      link_before = link_after;
      at = next;
    }
  }
};

}  // namespace

CLIP_ES_MULTIVERSION void lattice_splat(const LatticeCorners& in, const float* pixels, int64_t count, int64_t channels, float* slots) {
  if (in.corners == 3) for_channels(channels, Splat<3>{in, count}, pixels, slots);
  else for_channels(channels, Splat<6>{in, count}, pixels, slots);
}

CLIP_ES_MULTIVERSION void lattice_slice(const LatticeCorners& in, const float* slots, int64_t count, int64_t channels, bool add,
                                        float* pixels) {
  if (in.corners == 3) for_channels(channels, Slice<3>{in, count, add}, slots, pixels);
  else for_channels(channels, Slice<6>{in, count, add}, slots, pixels);
}

CLIP_ES_MULTIVERSION void lattice_fetch(const float* points, const uint32_t* point, int64_t count, int64_t channels, float* slots) {
  for_channels(channels, Fetch{point, count}, points, slots);
}

CLIP_ES_MULTIVERSION void lattice_store(const float* slots, const uint32_t* home, int64_t count, int64_t channels, int64_t own,
                                        float* points, float* guests) {
  for_channels(channels, Store{home, count, own}, slots, points, guests);
}

CLIP_ES_MULTIVERSION void lattice_add(const float* guests, const uint32_t* point, int64_t count, int64_t channels, float* points) {
  for_channels(channels, Add{point, count}, guests, points);
}

CLIP_ES_MULTIVERSION void lattice_blur(const uint32_t* entries, int64_t count, int64_t channels, float* points) {
  if (count > 0) for_channels(channels, Blur{entries, count}, points);
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
