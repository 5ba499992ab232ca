#include "ops/lattice.h"

#include <algorithm>
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
    if (channels == V::kChannels) run_at<V>(V::kChannels, pixels, slots);
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
  const uint32_t* vertex_of;
  int64_t count;
  template <class V>
  CLIP_ES_INLINE void run(int64_t stride, const float* vertices, float* slots) const {
    for (int64_t s = 0; s < count; ++s) {
      V::prefetch(vertices + static_cast<int64_t>(vertex_of[s + kAhead < count ? s + kAhead : s]) * stride);
      V value;
      value.read(vertices + static_cast<int64_t>(vertex_of[s]) * stride);
      value.write(slots + s * stride);
    }
  }
};

struct Merge {
  const uint32_t* vertex_of;
  int64_t count;
  template <class V>
  CLIP_ES_INLINE void run(int64_t stride, const float* slots, float* vertices) const {
    for (int64_t s = 0; s < count; ++s) {
      V::prefetch(vertices + static_cast<int64_t>(vertex_of[s + kAhead < count ? s + kAhead : s]) * stride);
      V value, sum;
      value.read(slots + s * stride);
      float* at = vertices + static_cast<int64_t>(vertex_of[s]) * stride;
      sum.read(at);
      sum.add(value);
      sum.write(at);
    }
  }
};

struct Collect {
  const uint32_t *first, *list;
  int64_t begin, end;
  template <class V>
  CLIP_ES_INLINE void run(int64_t stride, const float* slots, float* vertices) const {
    const int64_t last = first[end];
    for (int64_t v = begin; v < end; ++v) {
      V sum, value;
      sum.clear();
      for (int64_t i = first[v]; i < first[v + 1]; ++i) {
        V::prefetch(slots + static_cast<int64_t>(list[i + kAhead < last ? i + kAhead : i]) * stride);
        value.read(slots + static_cast<int64_t>(list[i]) * stride);
        sum.add(value);
      }
      sum.write(vertices + v * stride);
    }
  }
};

// Each entry's value is read once and written once: the one before is kept, the one after is read ahead.
struct Blur {
  const uint32_t* entries;
  int64_t count;
  CLIP_ES_INLINE int64_t vertex(int64_t e) const { return entries[e < count ? e : count - 1] & ~kLinked; }
  template <class V>
  CLIP_ES_INLINE void run(int64_t stride, float* vertices) const {
    V before, here, after;
    float link_before = 0;
    float* at = vertices + vertex(0) * stride;
    before.clear();
    here.read(at);
    for (int64_t e = 0; e < count; ++e) {
      V::prefetch(vertices + vertex(e + kAhead) * stride);
      const float link_after =
          std::bit_cast<float>((entries[e] >> 31) * 0x3f000000u);  // 0.5 where the next entry follows, without a branch
      float* next = vertices + vertex(e + 1) * stride;
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
    for (int l = 0; l < kOthers; ++l) message[i * kStride + l] = x[l] * factor - 1.0f / Labels;
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

template <class V, int Vectors, bool Tail, class Combine>
CLIP_ES_INLINE float fold(const Value<V, Vectors, Tail>& value, const Combine& combine) {
  V lanes = value.part[0];
  for (int i = 1; i < Vectors; ++i) combine(lanes, value.part[i]);
  Float4 low, high;
  if constexpr (kLanes<V> == 8) {
    low = __builtin_shufflevector(lanes, lanes, 0, 1, 2, 3);
    high = __builtin_shufflevector(lanes, lanes, 4, 5, 6, 7);
    combine(low, high);
  } else {
    low = lanes;
  }
  if (Tail) combine(low, value.tail);
  high = __builtin_shufflevector(low, low, 2, 3, 0, 1);
  combine(low, high);
  high = __builtin_shufflevector(low, low, 1, 0, 3, 2);
  combine(low, high);
  return low[0];
}
struct Sum {
  template <class V>
  CLIP_ES_INLINE void operator()(V& a, const V& b) const {
    a += b;
  }
};
struct Largest {
  template <class V>
  CLIP_ES_INLINE void operator()(V& a, const V& b) const {
    a = a > b ? a : b;
  }
};

// Many labels: the labels are the lanes. unary is so low in the padding that nothing is left of it. The labels' values stay in registers
// where these hold them, and pass through memory in blocks of 24 otherwise.
struct Update {
  const float* unary;
  int64_t labels, count;
  template <int Vectors, bool Tail, class V>
  CLIP_ES_INLINE static void exp_value(Value<V, Vectors, Tail>& x, float largest) {
    for (int i = 0; i < Vectors; ++i) {
      x.part[i] -= largest;
      if constexpr (kLanes<V> == 8) exp_or_zero<V, Int8>(x.part[i]);
      else exp_or_zero<V, Int4>(x.part[i]);
    }
    if (Tail) {
      x.tail -= largest;
      exp_or_zero<Float4, Int4>(x.tail);
    }
  }
  template <class V>
  CLIP_ES_INLINE void run(float* message) const {
    float shares[V::kChannels];
    for (int64_t l = 0; l < V::kChannels; ++l) shares[l] = l < labels - 1 ? 1.0f / static_cast<float>(labels) : 0.0f;
    V share;
    share.read(shares);
    for (int64_t i = 0; i < count; ++i) {
      V x, u;
      x.read(message + i * V::kChannels);
      u.read(unary + i * V::kChannels);
      shift(u, fold(x, Sum{}));
      x.add(u);
      const float largest = std::max(fold(x, Largest{}), 0.0f);
      exp_value(x, largest);
      scale(x, 1.0f / (fold(x, Sum{}) + exp_or_zero(-largest)));
      x.add(share, -1.0f);
      x.write(message + i * V::kChannels);
    }
  }
  template <class V>
  CLIP_ES_INLINE static void shift(V& x, float by) {
    for (auto& part : x.part) part += by;
    if (V::kChannels % 8) x.tail += by;
  }
  template <class V>
  CLIP_ES_INLINE static void scale(V& x, float by) {
    for (auto& part : x.part) part *= by;
    if (V::kChannels % 8) x.tail *= by;
  }
};

// Labels beyond what registers hold: the loops of the compiler.
CLIP_ES_INLINE void update_very_many(const float* unary, int64_t labels, int64_t count, float* message) {
  const int64_t others = labels - 1, channels = padded_channels(others);
  const float share = 1.0f / static_cast<float>(labels);
  for (int64_t i = 0; i < count; ++i) {
    float* q = message + i * channels;
    const float* u = unary + i * channels;
    float sum = 0, largest = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t l = 0; l < channels; ++l) sum += q[l];
#pragma omp simd reduction(max : largest)
    for (int64_t l = 0; l < channels; ++l) {
      q[l] += u[l] + sum;
      largest = q[l] > largest ? q[l] : largest;
    }
    float total = exp_or_zero(-largest);
#pragma omp simd reduction(+ : total)
    for (int64_t l = 0; l < channels; ++l) {
      q[l] = exp_or_zero(q[l] - largest);
      total += q[l];
    }
    const float factor = 1.0f / total;
    for (int64_t l = 0; l < others; ++l) q[l] = q[l] * factor - share;
  }
}

}  // namespace

CLIP_ES_MULTIVERSION void lattice_splat(const LatticeCorners& in, const float* pixels, int64_t count, int64_t channels, float* slots) {
  if (in.corners == 3) for_channels(channels, Splat<3>{in, count}, pixels, slots);
  else for_channels(channels, Splat<6>{in, count}, pixels, slots);
}

void lattice_splat_ones(const LatticeCorners& in, int64_t count, float* slots) {
  for (int64_t i = 0; i < count * in.corners; ++i) slots[in.slot[i]] += in.weight[i];
}

CLIP_ES_MULTIVERSION void lattice_slice(const LatticeCorners& in, const float* slots, int64_t count, int64_t channels, bool add,
                                        float* pixels) {
  if (in.corners == 3) for_channels(channels, Slice<3>{in, count, add}, slots, pixels);
  else for_channels(channels, Slice<6>{in, count, add}, slots, pixels);
}

CLIP_ES_MULTIVERSION void lattice_fetch(const float* vertices, const uint32_t* vertex_of, int64_t slots, int64_t channels, float* out) {
  for_channels(channels, Fetch{vertex_of, slots}, vertices, out);
}

CLIP_ES_MULTIVERSION void lattice_merge(const float* slots, const uint32_t* vertex_of, int64_t count, int64_t channels, float* vertices) {
  for_channels(channels, Merge{vertex_of, count}, slots, vertices);
}

CLIP_ES_MULTIVERSION void lattice_collect(const float* slots, const uint32_t* first, const uint32_t* list, int64_t begin, int64_t end,
                                          int64_t channels, float* vertices) {
  for_channels(channels, Collect{first, list, begin, end}, slots, vertices);
}

CLIP_ES_MULTIVERSION void lattice_blur(const uint32_t* entries, int64_t count, int64_t channels, float* vertices) {
  if (count > 0) for_channels(channels, Blur{entries, count}, vertices);
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
  else {
    const Update update{unary, labels, count};
    const int64_t channels = padded_channels(labels - 1);
    if (channels == 8) update.run<Value<Float8, 1, false>>(message);
    else if (channels == 12) update.run<Value<Float8, 1, true>>(message);
    else if (channels == 16) update.run<Value<Float8, 2, false>>(message);
    else if (channels == 20) update.run<Value<Float8, 2, true>>(message);
    else if (channels == 24) update.run<Value<Float8, 3, false>>(message);
    else update_very_many(unary, labels, count, message);
  }
}

}  // namespace clip_es::ops
