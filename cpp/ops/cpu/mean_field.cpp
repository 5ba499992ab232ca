#include "ops/mean_field.h"

#include <bit>

#include "ops/cpu/simd.h"
#include "ops/cpu/vectors.h"
#include "ops/lattice.h"

namespace clip_es::ops {
namespace {

constexpr float kVanished = -60.0f;  // e^-60 = 9e-27 is 0 to every float32 sum, and denormal products are slow

CLIP_ES_INLINE float exp_or_zero(float x) {
  const float e = fast_exp(x);
  return x > kVanished ? e : 0.0f;
}

// The same for 8 at once, x <= 0. Loops of the compiler would do, were 8 floats not too few for them.
CLIP_ES_INLINE void exp_or_zero(Float8& x) {
  constexpr float kLog2E = 1.44269504088896341f, kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f, kRound = 12582912.0f;
  const Int8 kept = x > kVanished;
  const Float8 shifted = x * kLog2E + kRound;
  const Float8 n = shifted - kRound;
  const Float8 r = x - n * kLn2High - n * kLn2Low;
  Float8 p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  const Int8 exponent = reinterpret_cast<Int8>(shifted) - std::bit_cast<int32_t>(kRound);
  x = reinterpret_cast<Float8>((reinterpret_cast<Int8>(p) + (exponent << 23)) & kept);
}

// Up to 5 labels: the pixels are the lanes.
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

constexpr int64_t kPixels = 8;  // updated together, so that what runs across a pixel's labels is done for 8 pixels at once

struct Sum {
  CLIP_ES_INLINE void operator()(Float8& a, const Float8& b) const { a += b; }
};
struct Largest {
  CLIP_ES_INLINE void operator()(Float8& a, const Float8& b) const { a = a > b ? a : b; }
};

// Lane p of the result: all lanes of rows[p], combined. Each step halves the vectors and doubles the rows that each holds.
template <class Combine>
CLIP_ES_INLINE void fold_rows(Float8 (&rows)[kPixels], const Combine& combine, Float8& folded) {
  for (int p = 0; p < 8; p += 2) {
    const Float8 odd = __builtin_shufflevector(rows[p], rows[p + 1], 1, 9, 3, 11, 5, 13, 7, 15);
    rows[p] = __builtin_shufflevector(rows[p], rows[p + 1], 0, 8, 2, 10, 4, 12, 6, 14);
    combine(rows[p], odd);
  }
  for (int p = 0; p < 8; p += 4) {
    const Float8 odd = __builtin_shufflevector(rows[p], rows[p + 2], 2, 3, 10, 11, 6, 7, 14, 15);
    rows[p] = __builtin_shufflevector(rows[p], rows[p + 2], 0, 1, 8, 9, 4, 5, 12, 13);
    combine(rows[p], odd);
  }
  folded = __builtin_shufflevector(rows[0], rows[4], 0, 1, 2, 3, 8, 9, 10, 11);
  const Float8 high = __builtin_shufflevector(rows[0], rows[4], 4, 5, 6, 7, 12, 13, 14, 15);
  combine(folded, high);
}

// A block of 4 channels in a register of 8: the others are `rest`.
CLIP_ES_INLINE void load_block(Float8& v, const float* p, int64_t width, float rest) {
  if (width == 8) {
    load(v, p);
  } else {
    Float4 half;
    load(half, p);
    v = __builtin_shufflevector(half, Float4{} + rest, 0, 1, 2, 3, 4, 5, 6, 7);
  }
}
CLIP_ES_INLINE void store_block(float* p, const Float8& v, int64_t width) {
  if (width == 8) store(p, v);
  else std::memcpy(p, &v, sizeof(Float4));
}

// More labels: the labels are the lanes. unary is so low in the padding that nothing is left of it. `pixels` of 8 are there; the lanes
// of the others repeat the last.
class UpdateMany {
 public:
  CLIP_ES_INLINE UpdateMany(int64_t labels, int64_t rows) : labels_(labels), channels_(padded_channels(labels - 1)), rows_(rows) {}

  CLIP_ES_INLINE void run(const float* unary, float* message, int64_t begin, int64_t pixels) const {
    Float8 sum, largest, total;
    {
      Float8 sums[kPixels] = {};
      each(
          pixels, [&](int64_t first, int64_t width, int64_t pixel, int64_t p) __attribute__((always_inline)) {
            Float8 m;
            load_block(m, message + first * rows_ + (begin + pixel) * width, width, 0);
            sums[p] += m;
          });
      fold_rows(sums, Sum{}, sum);
    }
    float x[kMostChannels * kPixels];
    {
      Float8 most[kPixels] = {};
      each(
          pixels, [&](int64_t first, int64_t width, int64_t pixel, int64_t p) __attribute__((always_inline)) {
            Float8 m, u;
            load_block(m, message + first * rows_ + (begin + pixel) * width, width, 0);
            load_block(u, unary + first * rows_ + (begin + pixel) * width, width, kNoLabel);
            m += u + sum[p];
            Largest()(most[p], m);
            store(x + first * kPixels + p * 8, m);
          });
      fold_rows(most, Largest{}, largest);
    }
    {
      Float8 totals[kPixels] = {};
      each(
          pixels, [&](int64_t first, int64_t, int64_t, int64_t p) __attribute__((always_inline)) {
            Float8 e;
            load(e, x + first * kPixels + p * 8);
            e -= largest[p];
            exp_or_zero(e);
            totals[p] += e;
            store(x + first * kPixels + p * 8, e);
          });
      fold_rows(totals, Sum{}, total);
    }
    Float8 last = -largest;
    exp_or_zero(last);
    const Float8 factor = 1.0f / (total + last);
    const float share = 1.0f / static_cast<float>(labels_);
    each(
        pixels, [&](int64_t first, int64_t width, int64_t pixel, int64_t p) __attribute__((always_inline)) {
          Float8 e;
          load(e, x + first * kPixels + p * 8);
          e = e * factor[p] - share;
          store_block(message + first * rows_ + (begin + pixel) * width, e, width);
        });
    for (int64_t l = labels_ - 1; l < channels_; ++l) {
      const int64_t first = l / kBlockChannels * kBlockChannels, width = std::min(kBlockChannels, channels_ - first);
      for (int64_t p = 0; p < pixels; ++p) message[first * rows_ + (begin + p) * width + l - first] = 0;
    }
  }

 private:
  static constexpr int64_t kMostChannels = 256;

  // body(first channel of the block, its width, pixel, lane): the width is a constant wherever it is 8.
  template <class Body>
  CLIP_ES_INLINE void each(int64_t pixels, const Body& body) const {
    int64_t first = 0;
    if (pixels == kPixels)
      for (; first + kBlockChannels <= channels_; first += kBlockChannels)
        for (int64_t p = 0; p < kPixels; ++p) body(first, int64_t{8}, p, p);
    for (; first < channels_; first += kBlockChannels)
      for (int64_t p = 0; p < kPixels; ++p) body(first, std::min(kBlockChannels, channels_ - first), std::min(p, pixels - 1), p);
  }

  int64_t labels_, channels_, rows_;
};

}  // namespace

CLIP_ES_MULTIVERSION void log_scores(const float* scores, int64_t count, float* logs) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) logs[i] = fast_log(scores[i]);
}

CLIP_ES_MULTIVERSION void mean_field_update(const float* unary, int64_t labels, int64_t rows, int64_t begin, int64_t count,
                                            float* message) {
  const int64_t at = begin * padded_channels(labels - 1);
  if (labels == 2) update_few<2>(unary + at, count, message + at);
  else if (labels == 3) update_few<3>(unary + at, count, message + at);
  else if (labels == 4) update_few<4>(unary + at, count, message + at);
  else if (labels == 5) update_few<5>(unary + at, count, message + at);
  else {
    const UpdateMany update(labels, rows);
    for (int64_t i = 0; i < count; i += kPixels) update.run(unary, message, begin + i, std::min(kPixels, count - i));
  }
}

}  // namespace clip_es::ops
