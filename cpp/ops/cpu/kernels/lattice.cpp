// The inner loops of the permutohedral lattice. One loop serves every number of channels; its parameter Value is the number of registers
// that a value needs.
#include "ops/cpu/kernels.h"
#include "ops/cpu/kernels/vectors.h"

namespace clip_es::ops::CLIP_ES_LEVEL {
namespace {

template <class V>
constexpr int64_t kFloatsOf = static_cast<int64_t>(sizeof(V) / sizeof(float));

// Some channels of one pixel or lattice point, in registers: `Vectors` vectors of type V and, with Tail, four more floats.
template <class V, int Vectors, bool Tail>
struct Value {
  static constexpr int64_t kChannels = Vectors * kFloatsOf<V> + (Tail ? 4 : 0);
  V part[Vectors];
  Float4 tail;

  CLIP_ES_INLINE void clear() {
    for (int i = 0; i < Vectors; ++i) part[i] = V{};
    if (Tail) tail = Float4{};
  }
  CLIP_ES_INLINE void read(const float* p) {
    for (int i = 0; i < Vectors; ++i) load(part[i], p + i * kFloatsOf<V>);
    if (Tail) load(tail, p + Vectors * kFloatsOf<V>);
  }
  CLIP_ES_INLINE void write(float* p) const {
    for (int i = 0; i < Vectors; ++i) store(p + i * kFloatsOf<V>, part[i]);
    if (Tail) store(p + Vectors * kFloatsOf<V>, tail);
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
    __builtin_prefetch(p);
    if (kChannels > 8) __builtin_prefetch(p + 16);
  }
};

// Runs a loop for all channels, at most 24 of them at a time. Loop is a struct with `template <class Value> void run(channels, pointers…)`;
// the pointers to values are advanced to the channels that it is called for.
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
  int64_t count, ahead;
  template <class V>
  CLIP_ES_INLINE void run(int64_t channels, const float* pixels, float* slots) const {
    if (channels == V::kChannels) run_at<V>(V::kChannels, pixels, slots);  // the compiler knows the stride
    else run_at<V>(channels, pixels, slots);
  }
  template <class V>
  CLIP_ES_INLINE void run_at(int64_t stride, const float* pixels, float* slots) const {
    const uint16_t* slot = in.slot;
    const float* weight = in.weight;
    for (int64_t i = 0; i < count; ++i, slot += K, weight += K) {
      V pixel, sum;
      if (K == 3) {
        V::prefetch(pixels + (i + ahead) * stride);
        __builtin_prefetch(slot + ahead * K);
        __builtin_prefetch(weight + ahead * K);
      }
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

constexpr int64_t kAhead = 32;  // values to prefetch

struct Fetch {
  const uint32_t* point;
  int64_t count;
  template <class V>
  CLIP_ES_INLINE void run(int64_t stride, const float* points, float* slots) const {
    const int64_t last = count - 1;
    for (int64_t s = 0; s < count; ++s) {
      V::prefetch(points + static_cast<int64_t>(point[s + kAhead < last ? s + kAhead : last]) * stride);
      V value;
      value.read(points + static_cast<int64_t>(point[s]) * stride);
      value.write(slots + s * stride);
    }
  }
};

// Writes the sum after each source, and advances to the next point after a point's last source. So no branch depends on how many sources a
// point has.
struct Gather {
  const uint32_t* sources;
  int64_t count;
  CLIP_ES_INLINE int64_t slot(int64_t s) const { return sources[s < count ? s : count - 1] & ~kLinked; }
  template <class V>
  CLIP_ES_INLINE void run(int64_t stride, const float* slots, float* points) const {
    V sum;
    sum.clear();
    float keep = 0;
    for (int64_t s = 0; s < count; ++s) {
      V::prefetch(slots + slot(s + kAhead) * stride);
      V value;
      value.read(slots + slot(s) * stride);
      value.add(sum, keep);
      value.write(points);
      sum = value;
      const uint32_t linked = sources[s] >> 31;
      keep = __builtin_bit_cast(float, linked * 0x3f800000u);  // 1 if the next source belongs to the same point, else 0
      points += linked ? 0 : stride;
    }
  }
};

struct Blur {
  const LatticeNeighbours* neighbours;
  int64_t count;
  template <class V>
  CLIP_ES_INLINE void run(int64_t channels, const float* here, const float* values, float* out) const {
    if (channels == V::kChannels) run_at<V>(V::kChannels, here, values, out);
    else run_at<V>(channels, here, values, out);
  }
  template <class V>
  CLIP_ES_INLINE void run_at(int64_t stride, const float* here, const float* values, float* out) const {
    for (int64_t p = 0; p < count; ++p) {
      V sum, before, after;
      sum.read(here + p * stride);
      before.read(values + static_cast<int64_t>(neighbours[p].before) * stride);
      after.read(values + static_cast<int64_t>(neighbours[p].after) * stride);
      sum.add(before, 0.5f);
      sum.add(after, 0.5f);
      sum.write(out + p * stride);
    }
  }
};

template <int K>
CLIP_ES_INLINE void normalise(const float* sums, int64_t count, float strength, float* weight) {
  constexpr float alpha = 1.0f / (1.0f + 1.0f / (1 << (K - 1)));
  const float numerator = __builtin_sqrtf(strength * alpha);
  constexpr int64_t kChunk = 64;
  float factor[kChunk];
  for (int64_t first = 0; first < count; first += kChunk) {
    const int64_t block = first + kChunk <= count ? kChunk : count - first;
#pragma omp simd
    for (int64_t i = 0; i < block; ++i) factor[i] = numerator / __builtin_sqrtf(sums[first + i] * alpha + 1e-20f);
    for (int64_t i = 0; i < block; ++i)
      for (int64_t k = 0; k < K; ++k) weight[(first + i) * K + k] *= factor[i];
  }
}

}  // namespace

void lattice_splat(const LatticeCorners& in, const float* pixels, int64_t count, int64_t channels, float* slots, int64_t ahead) {
  if (in.corners == 3) for_channels(channels, Splat<3>{in, count, ahead}, pixels, slots);
  else for_channels(channels, Splat<6>{in, count, ahead}, pixels, slots);
}

void lattice_slice(const LatticeCorners& in, const float* slots, int64_t count, int64_t channels, bool add, float* pixels) {
  if (in.corners == 3) for_channels(channels, Slice<3>{in, count, add}, slots, pixels);
  else for_channels(channels, Slice<6>{in, count, add}, slots, pixels);
}

void lattice_fetch(const float* points, const uint32_t* point, int64_t count, int64_t channels, float* slots) {
  for_channels(channels, Fetch{point, count}, points, slots);
}

void lattice_gather(const float* slots, const uint32_t* sources, int64_t count, int64_t channels, float* points) {
  for_channels(channels, Gather{sources, count}, slots, points);
}

void lattice_blur(const float* here, const float* values, const LatticeNeighbours* neighbours, int64_t count, int64_t channels,
                  float* out) {
  for_channels(channels, Blur{neighbours, count}, here, values, out);
}

void lattice_blur_row(const float* here, const float* before, const float* after, int64_t count, float* out) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) out[i] = here[i] + 0.5f * (before[i] + after[i]);
}

void normalise_weights(const float* sums, int64_t count, int64_t corners, float strength, float* weight) {
  if (corners == 3) normalise<3>(sums, count, strength, weight);
  else normalise<6>(sums, count, strength, weight);
}

}  // namespace clip_es::ops::CLIP_ES_LEVEL
