#include "ops/mean_field.h"

#include <cfloat>

#include "ops/cpu/kernels/vector_math.h"
#include "ops/lattice.h"

namespace clip_es::ops::CLIP_ES_LEVEL {
namespace {

constexpr float kVanished = -60.0f;  // e^-60 = 9e-27 changes no float32 sum, and products of denormal numbers are slow

// x <= 0
CLIP_ES_INLINE float exp_or_zero(float x) {
  const float e = fast_exp_unclamped(x);
  return x > kVanished ? e : 0.0f;
}

CLIP_ES_INLINE void exp_or_zero(const Floats& x, Floats& e) {
  exp_unclamped<FloatBits>(x, e);
  e = x > kVanished ? e : Floats{};
}

// Up to 5 labels: each lane is a pixel.
template <int Labels>
CLIP_ES_INLINE void update_few(const float* unary, int64_t count, float* message) {
  constexpr int kOthers = Labels - 1;
  constexpr int kStride = static_cast<int>(padded_channels(kOthers));
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) {
    float x[kOthers], sum = 0, largest = 0;
    for (int l = 0; l < kOthers; ++l) sum += message[i * kStride + l];
    for (int l = 0; l < kOthers; ++l) {
      x[l] = unary[l * count + i] + message[i * kStride + l] + sum;
      largest = x[l] > largest ? x[l] : largest;
    }
    float total = exp_or_zero(-largest);
    for (int l = 0; l < kOthers; ++l) total += x[l] = exp_or_zero(x[l] - largest);
    const float factor = 1.0f / total;
    for (int l = 0; l < kOthers; ++l) message[i * kStride + l] = x[l] * factor - 1.0f / Labels;
    for (int l = kOthers; l < kStride; ++l) message[i * kStride + l] = 0;
  }
}

// 4 pixels and 4 channels.
struct Square {
  Float4 row[4];

  CLIP_ES_INLINE void read(const float* from, int64_t step) {
    for (int i = 0; i < 4; ++i) load(row[i], from + i * step);
  }
  CLIP_ES_INLINE void write(float* to, int64_t step) const {
    for (int i = 0; i < 4; ++i) store(to + i * step, row[i]);
  }
};

// More labels: a block of pixels is transposed, so that each lane is a pixel here, too, and transposed back at the end. The unaries of one
// label are unary_step floats after those of the label before. Sums and maxima over the labels stay in registers.
template <int64_t Pixels>
CLIP_ES_INLINE void update_block(const float* unary, int64_t unary_step, int64_t others, float* message) {
  constexpr int64_t kParts = Pixels / kFloatLanes;
  const int64_t channels = padded_channels(others);
  const float share = 1.0f / (others + 1);
  float x[(kMostLabels + 1) * Pixels], sums[Pixels], most[Pixels], factors[Pixels];
  for (int64_t p = 0; p < Pixels; p += 4) {
    Float4 sum{}, highest = Float4{} - FLT_MAX;
    for (int64_t l = 0; l < channels; l += 4) {
      Square square;
      square.read(message + p * channels + l, channels);
      transpose(square.row);
      sum += (square.row[0] + square.row[1]) + (square.row[2] + square.row[3]);  // the padding is zero
      for (int64_t k = 0; k < 4 && l + k < others; ++k) {
        Float4 own;
        load(own, unary + (l + k) * unary_step + p);
        own += square.row[k];
        highest = own > highest ? own : highest;
        store(x + (l + k) * Pixels + p, own);
      }
    }
    store(sums + p, sum);
    store(most + p, highest + sum);
  }
  // Makes the exponents relative to the largest of all labels. The last label's exponent is 0.
  Floats largest[kParts], total[kParts], on[kParts];
  for (int64_t i = 0; i < kParts; ++i) {
    load(largest[i], most + i * kFloatLanes);
    load(on[i], sums + i * kFloatLanes);
    largest[i] = largest[i] > 0 ? largest[i] : Floats{};
    on[i] -= largest[i];
  }
  for (int64_t i = 0; i < kParts; ++i) exp_or_zero(-largest[i], total[i]);
  for (int64_t l = 0; l < others; ++l)
    for (int64_t i = 0; i < kParts; ++i) {
      Floats value;
      load(value, x + l * Pixels + i * kFloatLanes);
      exp_or_zero(value + on[i], value);
      if (i * kFloatLanes % 16 == 0) __builtin_prefetch(unary + (others + l) * unary_step + i * kFloatLanes);
      store(x + l * Pixels + i * kFloatLanes, value);
      total[i] += value;
    }
  for (int64_t i = 0; i < kParts; ++i) store(factors + i * kFloatLanes, 1.0f / total[i]);
  for (int64_t p = 0; p < Pixels; p += 4) {
    Float4 factor;
    load(factor, factors + p);
    for (int64_t l = 0; l < channels; l += 4) {
      Square square;
      square.read(x + l * Pixels + p, Pixels);
      for (int i = 0; i < 4; ++i) square.row[i] = l + i < others ? square.row[i] * factor - share : Float4{};
      transpose(square.row);
      square.write(message + p * channels + l, channels);
    }
  }
}

// Long blocks first, because they read no transposed value before its store has finished. Then short blocks, then the remaining pixels,
// padded with zeros.
CLIP_ES_INLINE void update_many(const float* unary, int64_t labels, int64_t count, float* message) {
  const int64_t others = labels - 1, channels = padded_channels(others);
  int64_t i = 0;
  for (; i + 32 <= count; i += 32) update_block<32>(unary + i, count, others, message + i * channels);
  for (; i + 8 <= count; i += 8) update_block<8>(unary + i, count, others, message + i * channels);
  if (i == count) return;
  float last_unary[kMostLabels * 8], last_message[(kMostLabels + 1) * 8];
  const auto floats = [](int64_t n) { return n * sizeof(float); };
  const int64_t left = count - i;
  std::memset(last_unary, 0, floats(others * 8));
  std::memset(last_message, 0, floats(channels * 8));
  for (int64_t l = 0; l < others; ++l) std::memcpy(last_unary + l * 8, unary + l * count + i, floats(left));
  std::memcpy(last_message, message + i * channels, floats(left * channels));
  update_block<8>(last_unary, 8, others, last_message);
  std::memcpy(message + i * channels, last_message, floats(left * channels));
}

// The marginal of the last label: 1 minus the other marginals, with compensated summation. If it exceeds the largest of them by less than
// kRounding, it is set to the largest one, so that labels that tie get equal marginals.
template <class Value>
struct LastMarginal {
  static constexpr float kRounding = 0x1p-20f;
  Value rest, lost{}, largest{};

  CLIP_ES_INLINE void subtract(const Value& marginal) {
    const Value exact = marginal + lost, next = rest - exact;
    lost = exact - (rest - next);
    rest = next;
    largest = marginal > largest ? marginal : largest;
  }
  CLIP_ES_INLINE void finish() {
    const Value lower = rest > largest ? largest : rest;
    rest = rest > largest + kRounding ? rest : lower;
    rest = rest > 0 ? rest : Value{};
  }
};

}  // namespace

bool log_scores(const float* scores, int64_t count, float smallest, float* logs) {
  int32_t wrong = 0;
#pragma omp simd reduction(| : wrong)
  for (int64_t i = 0; i < count; ++i) {
    const float score = scores[i];
    wrong |= score >= 0 ? 0 : 1;  // true for NaN
    wrong |= score <= FLT_MAX ? 0 : 1;
    const float raised = score > smallest ? score : smallest;
    logs[i] = fast_log(raised < 1.0f ? raised : 1.0f);
  }
  return wrong == 0;
}

void marginals_of(const float* excess, int64_t labels, int64_t count, float* marginals, int64_t step) {
  const int64_t others = labels - 1, channels = padded_channels(others);
  const float share = 1.0f / labels;
  int64_t i = 0;
  if (channels % 4 == 0)
    for (; i + 4 <= count; i += 4) {
      LastMarginal<Float4> last{Float4{} + 1.0f};
      for (int64_t l = 0; l < others; l += 4) {
        Square square;
        square.read(excess + i * channels + l, channels);
        transpose(square.row);
        for (int k = 0; k < 4 && l + k < others; ++k) {
          const Float4 raised = square.row[k] + share, marginal = raised > 0 ? raised : Float4{};
          last.subtract(marginal);
          store(marginals + (l + k) * step + i, marginal);
        }
      }
      last.finish();
      store(marginals + others * step + i, last.rest);
    }
  for (; i < count; ++i) {
    LastMarginal<float> last{1.0f};
    for (int64_t l = 0; l < others; ++l) {
      const float raised = excess[i * channels + l] + share, marginal = raised > 0 ? raised : 0.0f;
      last.subtract(marginal);
      marginals[l * step + i] = marginal;
    }
    last.finish();
    marginals[others * step + i] = last.rest;
  }
}

void mean_field_update(const float* unary, int64_t labels, int64_t count, float* message) {
  if (labels == 2) update_few<2>(unary, count, message);
  else if (labels == 3) update_few<3>(unary, count, message);
  else if (labels == 4) update_few<4>(unary, count, message);
  else if (labels == 5) update_few<5>(unary, count, message);
  else update_many(unary, labels, count, message);
}

}  // namespace clip_es::ops::CLIP_ES_LEVEL
