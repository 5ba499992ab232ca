#include "ops/lattice.h"

#include <bit>
#include <cmath>
#include <cstring>

#include "ops/cpu/simd.h"

namespace clip_es::ops {
namespace {

#define CLIP_ES_INLINE [[gnu::always_inline]] inline

typedef float Float2 __attribute__((vector_size(8)));
typedef float Float4 __attribute__((vector_size(16)));
typedef float Float8 __attribute__((vector_size(32)));

// By reference: 32-byte vectors as values have another calling convention on every level of the processor.
template <class V>
CLIP_ES_INLINE void load(V& v, const float* p) {
  std::memcpy(&v, p, sizeof v);
}
template <class V>
CLIP_ES_INLINE void store(float* p, const V& v) {
  std::memcpy(p, &v, sizeof v);
}

template <class V>
constexpr int64_t kLanes = static_cast<int64_t>(sizeof(V) / sizeof(float));

// Calls body with a vector type and the channel it begins at until all channels are covered.
#define CLIP_ES_EACH_VECTOR(channels, BODY)                               \
  do {                                                                    \
    if (channels == 1) BODY(float, 0);                                    \
    else if (channels == 2) BODY(Float2, 0);                              \
    else {                                                                \
      int64_t c_ = 0;                                                     \
      for (; c_ + 8 <= channels; c_ += 8) BODY(Float8, c_);               \
      if (c_ < channels) BODY(Float4, c_);                                \
    }                                                                     \
  } while (0)

template <class V, int K>
CLIP_ES_INLINE void splat_pixel(const uint16_t* slot, const float* weight, const float* pixel, int64_t stride, float* slots) {
  V value;
  load(value, pixel);
  for (int k = 0; k < K; ++k) {
    float* p = slots + slot[k] * stride;
    V sum;
    load(sum, p);
    sum += value * weight[k];
    store(p, sum);
  }
}

template <int K>
CLIP_ES_INLINE void splat(const LatticeCorners& in, const float* pixels, int64_t count, int64_t channels, float* slots) {
  if (channels == 1)
    for (int64_t i = 0; i < count; ++i) splat_pixel<float, K>(in.slot + i * K, in.weight + i * K, pixels + i, 1, slots);
  else if (channels == 2)
    for (int64_t i = 0; i < count; ++i) splat_pixel<Float2, K>(in.slot + i * K, in.weight + i * K, pixels + i * 2, 2, slots);
  else if (channels == 4)
    for (int64_t i = 0; i < count; ++i) splat_pixel<Float4, K>(in.slot + i * K, in.weight + i * K, pixels + i * 4, 4, slots);
  else
    for (int64_t i = 0; i < count; ++i) {
      int64_t c = 0;
      for (; c + 8 <= channels; c += 8)
        splat_pixel<Float8, K>(in.slot + i * K, in.weight + i * K, pixels + i * channels + c, channels, slots + c);
      if (c < channels) splat_pixel<Float4, K>(in.slot + i * K, in.weight + i * K, pixels + i * channels + c, channels, slots + c);
    }
}

template <class V, int K>
CLIP_ES_INLINE void slice_pixel(const uint16_t* slot, const float* weight, const float* slots, int64_t stride, bool add, float* pixel) {
  V sum = {};
  if (add) load(sum, pixel);
  for (int k = 0; k < K; ++k) {
    V value;
    load(value, slots + slot[k] * stride);
    sum += value * weight[k];
  }
  store(pixel, sum);
}

template <int K>
CLIP_ES_INLINE void slice(const LatticeCorners& in, const float* slots, int64_t count, int64_t channels, bool add, float* pixels) {
  if (channels == 1)
    for (int64_t i = 0; i < count; ++i) slice_pixel<float, K>(in.slot + i * K, in.weight + i * K, slots, 1, add, pixels + i);
  else if (channels == 2)
    for (int64_t i = 0; i < count; ++i) slice_pixel<Float2, K>(in.slot + i * K, in.weight + i * K, slots, 2, add, pixels + i * 2);
  else if (channels == 4)
    for (int64_t i = 0; i < count; ++i) slice_pixel<Float4, K>(in.slot + i * K, in.weight + i * K, slots, 4, add, pixels + i * 4);
  else
    for (int64_t i = 0; i < count; ++i) {
      int64_t c = 0;
      for (; c + 8 <= channels; c += 8)
        slice_pixel<Float8, K>(in.slot + i * K, in.weight + i * K, slots + c, channels, add, pixels + i * channels + c);
      if (c < channels) slice_pixel<Float4, K>(in.slot + i * K, in.weight + i * K, slots + c, channels, add, pixels + i * channels + c);
    }
}

template <class V>
CLIP_ES_INLINE void copy_value(const float* from, float* to) {
  V v;
  load(v, from);
  store(to, v);
}

template <class V>
CLIP_ES_INLINE void add_value(const float* from, float* to) {
  V v, sum;
  load(v, from);
  load(sum, to);
  sum += v;
  store(to, sum);
}

// Each entry's value is read once and written once: the one before is kept, the one after is read ahead. Vectors count of V and, with
// Tail, a Float4 more: a value as wide as the registers allow is one visit to its cache lines.
template <class V, int Vectors, bool Tail = false>
CLIP_ES_INLINE void blur(const uint32_t* entries, int64_t count, int64_t stride, float* vertices) {
  constexpr int64_t kAhead = 12;
  V before[Vectors] = {}, here[Vectors];
  Float4 tail_before = {}, tail_here = {};
  float link_before = 0;
  float* at = vertices + static_cast<int64_t>(entries[0] & ~kLinked) * stride;
  for (int i = 0; i < Vectors; ++i) load(here[i], at + i * kLanes<V>);
  if (Tail) load(tail_here, at + Vectors * kLanes<V>);
  for (int64_t e = 0; e < count; ++e) {
    const float* ahead = vertices + static_cast<int64_t>(entries[e + kAhead < count ? e + kAhead : e] & ~kLinked) * stride;
    __builtin_prefetch(ahead, 1);
    if (Vectors * sizeof(V) > 32) __builtin_prefetch(ahead + 16, 1);
    // 0.5 where the next entry follows, without a branch
    const float link_after = std::bit_cast<float>((entries[e] >> 31) * 0x3f000000u);
    float* next = vertices + static_cast<int64_t>(entries[e + 1 < count ? e + 1 : e] & ~kLinked) * stride;
    for (int i = 0; i < Vectors; ++i) {
      V after;
      load(after, next + i * kLanes<V>);
      const V blurred = here[i] + before[i] * link_before + after * link_after;
      store(at + i * kLanes<V>, blurred);
      before[i] = here[i];
      here[i] = after;
    }
    if (Tail) {
      Float4 after;
      load(after, next + Vectors * kLanes<V>);
      const Float4 blurred = tail_here + tail_before * link_before + after * link_after;
      store(at + Vectors * kLanes<V>, blurred);
      tail_before = tail_here;
      tail_here = after;
    }
    link_before = link_after;
    at = next;
  }
}

constexpr float kVanished = -60.0f;  // e^-60 = 9e-27 is 0 to every float32 sum, and denormal products are slow

CLIP_ES_INLINE float exp_or_zero(float x) {
  const float e = fast_exp(x);
  return x > kVanished ? e : 0.0f;
}

// Few labels: the pixels are the lanes.
template <int Labels>
CLIP_ES_INLINE void update_few(const float* unary, int64_t count, float* message) {
  constexpr int kOthers = Labels - 1;
  constexpr int kStride = static_cast<int>(padded_channels(kOthers));
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) {
    float x[kOthers], sum = 0, largest = 0;
    for (int l = 0; l < kOthers; ++l) sum += message[i * kStride + l];
    for (int l = 0; l < kOthers; ++l) {
      x[l] = unary[i * kStride + l] + message[i * kStride + l] + sum;
      largest = x[l] > largest ? x[l] : largest;
    }
    float total = exp_or_zero(-largest);
    for (int l = 0; l < kOthers; ++l) total += x[l] = exp_or_zero(x[l] - largest);
    const float factor = 1.0f / total;
    for (int l = 0; l < kOthers; ++l) message[i * kStride + l] = x[l] * factor;
    for (int l = kOthers; l < kStride; ++l) message[i * kStride + l] = 0;
  }
}

typedef int32_t Int4 __attribute__((vector_size(16)));
typedef int32_t Int8 __attribute__((vector_size(32)));
CLIP_ES_INLINE void as_integers(Int4& out, const Float4& x) { out = reinterpret_cast<Int4>(x); }
CLIP_ES_INLINE void as_integers(Int8& out, const Float8& x) { out = reinterpret_cast<Int8>(x); }

// exp_or_zero() of a vector: loops over a pixel's labels are too short for the compiler to vectorise well.
template <class V, class I>
CLIP_ES_INLINE void exp_or_zero(V& x) {
  constexpr float kLog2E = 1.44269504088896341f, kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f, kRound = 12582912.0f;
  const V zero = {}, low = zero + kVanished;
  const I vanished = x <= low;
  const V clamped = vanished ? low : x;
  const V shifted = clamped * kLog2E + kRound;
  const V n = shifted - kRound;
  const V r = clamped - n * kLn2High - n * kLn2Low;
  V p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  I bits, power;
  as_integers(bits, shifted);
  as_integers(power, p);
  power += (bits - std::bit_cast<int32_t>(kRound)) << 23;
  power = vanished ? power - power : power;
  std::memcpy(&x, &power, sizeof x);
}

template <class V>
CLIP_ES_INLINE void fold_sum(const V& lanes, float& sum) {
  float part[kLanes<V>];
  store(part, lanes);
  for (int64_t half = kLanes<V> / 2; half > 0; half /= 2)
    for (int64_t n = 0; n < half; ++n) part[n] += part[n + half];
  sum += part[0];
}

template <class V>
CLIP_ES_INLINE void fold_largest(const V& lanes, float& largest) {
  float part[kLanes<V>];
  store(part, lanes);
  for (int64_t half = kLanes<V> / 2; half > 0; half /= 2)
    for (int64_t n = 0; n < half; ++n) part[n] = part[n] > part[n + half] ? part[n] : part[n + half];
  largest = part[0] > largest ? part[0] : largest;
}

// Many labels: the labels are the lanes, eight and then four at a time; unary is so low in the padding that nothing is left of it.
CLIP_ES_INLINE void update_many(const float* unary, int64_t channels, int64_t count, float* message) {
  const int64_t whole = channels / 8 * 8;
  const bool tail = whole < channels;
  for (int64_t i = 0; i < count; ++i) {
    float* q = message + i * channels;
    const float* u = unary + i * channels;
    float sum = 0, largest = 0, total = 0;
    Float8 lanes = {}, value, other;
    Float4 tail_value = {}, tail_other;
    for (int64_t l = 0; l < whole; l += 8) {
      load(value, q + l);
      lanes += value;
    }
    if (tail) {
      load(tail_value, q + whole);
      fold_sum(tail_value, sum);
    }
    fold_sum(lanes, sum);
    lanes = Float8{};
    for (int64_t l = 0; l < whole; l += 8) {
      load(value, q + l);
      load(other, u + l);
      value += other + sum;
      store(q + l, value);
      lanes = value > lanes ? value : lanes;
    }
    if (tail) {
      load(tail_other, u + whole);
      tail_value += tail_other + sum;
      fold_largest(tail_value, largest);
    }
    fold_largest(lanes, largest);
    lanes = Float8{};
    for (int64_t l = 0; l < whole; l += 8) {
      load(value, q + l);
      value -= largest;
      exp_or_zero<Float8, Int8>(value);
      store(q + l, value);
      lanes += value;
    }
    if (tail) {
      tail_value -= largest;
      exp_or_zero<Float4, Int4>(tail_value);
      fold_sum(tail_value, total);
    }
    fold_sum(lanes, total);
    const float factor = 1.0f / (total + exp_or_zero(-largest));
    for (int64_t l = 0; l < whole; l += 8) {
      load(value, q + l);
      value *= factor;
      store(q + l, value);
    }
    if (tail) {
      tail_value *= factor;
      store(q + whole, tail_value);
    }
  }
}

}  // namespace

CLIP_ES_MULTIVERSION void lattice_splat(const LatticeCorners& in, const float* pixels, int64_t count, int64_t channels, float* slots) {
  if (in.corners == 3) splat<3>(in, pixels, count, channels, slots);
  else splat<6>(in, pixels, count, channels, slots);
}

void lattice_splat_within(const LatticeCorners& in, const float* pixels, int64_t count, int64_t channels, float* slots, int64_t begin, int64_t end) {
  for (int64_t i = 0; i < count * in.corners; ++i) {
    if (in.slot[i] < begin || in.slot[i] >= end) continue;
    const float* pixel = pixels + i / in.corners * channels;
    for (int64_t c = 0; c < channels; ++c) slots[in.slot[i] * channels + c] += pixel[c] * in.weight[i];
  }
}

void lattice_splat_ones(const LatticeCorners& in, int64_t count, float* slots) {
  for (int64_t i = 0; i < count * in.corners; ++i) slots[in.slot[i]] += in.weight[i];
}

CLIP_ES_MULTIVERSION void lattice_slice(const LatticeCorners& in, const float* slots, int64_t count, int64_t channels, bool add, float* pixels) {
  if (in.corners == 3) slice<3>(in, slots, count, channels, add, pixels);
  else slice<6>(in, slots, count, channels, add, pixels);
}

CLIP_ES_MULTIVERSION void lattice_fetch(const float* vertices, const uint32_t* vertex_of, int64_t slots, int64_t channels, float* out) {
#define FETCH(V, c) \
  for (int64_t s = 0; s < slots; ++s) copy_value<V>(vertices + static_cast<int64_t>(vertex_of[s]) * channels + c, out + s * channels + c)
  if (channels <= 8) CLIP_ES_EACH_VECTOR(channels, FETCH);
  else
    for (int64_t s = 0; s < slots; ++s)
      for (int64_t c = 0; c < channels; c += 4) copy_value<Float4>(vertices + static_cast<int64_t>(vertex_of[s]) * channels + c, out + s * channels + c);
#undef FETCH
}

CLIP_ES_MULTIVERSION void lattice_merge(const float* slots, const uint32_t* vertex_of, int64_t count, int64_t channels, float* vertices) {
#define MERGE(V, c) \
  for (int64_t s = 0; s < count; ++s) add_value<V>(slots + s * channels + c, vertices + static_cast<int64_t>(vertex_of[s]) * channels + c)
  if (channels <= 8) CLIP_ES_EACH_VECTOR(channels, MERGE);
  else
    for (int64_t s = 0; s < count; ++s)
      for (int64_t c = 0; c < channels; c += 4) add_value<Float4>(slots + s * channels + c, vertices + static_cast<int64_t>(vertex_of[s]) * channels + c);
#undef MERGE
}

CLIP_ES_MULTIVERSION void lattice_collect(const float* slots, const uint32_t* first, const uint32_t* list, int64_t begin, int64_t end,
                                          int64_t channels, float* vertices) {
  for (int64_t v = begin; v < end; ++v) {
#define COLLECT(V, c)                                                                                    \
  do {                                                                                                   \
    V sum = {};                                                                                          \
    for (uint32_t i = first[v]; i < first[v + 1]; ++i) {                                                 \
      V value;                                                                                           \
      load(value, slots + static_cast<int64_t>(list[i]) * channels + c);                                 \
      sum += value;                                                                                      \
    }                                                                                                    \
    store(vertices + v * channels + c, sum);                                                             \
  } while (0)
    CLIP_ES_EACH_VECTOR(channels, COLLECT);
#undef COLLECT
  }
}

CLIP_ES_MULTIVERSION void lattice_blur(const uint32_t* entries, int64_t count, int64_t channels, float* vertices) {
  if (count == 0) return;
  if (channels == 1) return blur<float, 1>(entries, count, channels, vertices);
  if (channels == 2) return blur<Float2, 1>(entries, count, channels, vertices);
  int64_t c = 0;
  for (; c + 24 <= channels; c += 24) blur<Float8, 3>(entries, count, channels, vertices + c);
  const int64_t rest = channels - c;
  if (rest == 20) blur<Float8, 2, true>(entries, count, channels, vertices + c);
  else if (rest == 16) blur<Float8, 2>(entries, count, channels, vertices + c);
  else if (rest == 12) blur<Float8, 1, true>(entries, count, channels, vertices + c);
  else if (rest == 8) blur<Float8, 1>(entries, count, channels, vertices + c);
  else if (rest == 4) blur<Float4, 1>(entries, count, channels, vertices + c);
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

CLIP_ES_MULTIVERSION void log_scores(const float* scores, int64_t count, float* logs) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) logs[i] = fast_log(scores[i]);
}

CLIP_ES_MULTIVERSION void mean_field_update(const float* unary, int64_t labels, int64_t count, float* message) {
  if (labels == 2) update_few<2>(unary, count, message);
  else if (labels == 3) update_few<3>(unary, count, message);
  else if (labels == 4) update_few<4>(unary, count, message);
  else if (labels == 5) update_few<5>(unary, count, message);
  else update_many(unary, padded_channels(labels - 1), count, message);
}

}  // namespace clip_es::ops
