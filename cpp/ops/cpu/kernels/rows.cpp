// Sums, products and norms of rows.
#include "ops/cpu/kernels/vector_math.h"

namespace clip_es::ops::CLIP_ES_LEVEL {
namespace {

struct Moments {
  float mean, rstd;
};

// The sum of (x - from)^power. Four independent sums, because one sum would wait for each addition.
template <int kPower>
CLIP_ES_INLINE float sum_of(const float* x, int64_t width, float from) {
  constexpr int64_t kSums = 4;
  Float8 sums[kSums] = {};
  int64_t i = 0;
  for (; i + 8 * kSums <= width; i += 8 * kSums)
    for (int64_t k = 0; k < kSums; ++k) {
      Float8 value;
      load(value, x + i + 8 * k);
      value -= from;
      sums[k] += kPower == 2 ? value * value : value;
    }
  const Float8 all = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  float sum = 0;
  for (int64_t k = 0; k < 8; ++k) sum += all[k];
  for (; i < width; ++i) sum += kPower == 2 ? (x[i] - from) * (x[i] - from) : x[i] - from;
  return sum;
}

// Two passes: the variance as a difference of sums of squares would lose digits when the mean is large.
CLIP_ES_INLINE Moments moments(const float* x, int64_t width, float epsilon) {
  const float mean = sum_of<1>(x, width, 0) / static_cast<float>(width);
  return {mean, 1.0f / __builtin_sqrtf(sum_of<2>(x, width, mean) / static_cast<float>(width) + epsilon)};
}

CLIP_ES_INLINE void take_larger(Floats& most, const Floats& other) { most = other > most ? other : most; }

// The largest of `start` and all changed elements. The change is passed as two functions: one for a vector, one for a single element.
// Written with vectors, because Clang does not vectorise a loop that only takes the maximum.
template <class Change, class ChangeOne>
CLIP_ES_INLINE float largest_of(const float* x, int64_t count, float start, Change change, ChangeOne change_one) {
  constexpr int64_t kStep = 4 * kFloatLanes;
  float most = start;
  int64_t i = 0;
  if (count >= kStep) {
    Floats largest[4];
    for (Floats& lanes : largest) lanes = Floats{} + start;
    for (; i + kStep <= count; i += kStep)
      for (int64_t k = 0; k < 4; ++k) {
        Floats value;
        load(value, x + i + k * kFloatLanes);
        change(value);
        take_larger(largest[k], value);
      }
    take_larger(largest[0], largest[1]);
    take_larger(largest[2], largest[3]);
    take_larger(largest[0], largest[2]);
    for (int64_t k = 0; k < kFloatLanes; ++k) most = largest[0][k] > most ? largest[0][k] : most;
  }
  for (; i < count; ++i) {
    const float value = change_one(x[i]);
    most = value > most ? value : most;
  }
  return most;
}

}  // namespace

void layer_norm_row(const float* x, int64_t width, float epsilon, const float* gamma, const float* beta, float* y) {
  const Moments m = moments(x, width, epsilon);
  for (int64_t i = 0; i < width; ++i) y[i] = (x[i] - m.mean) * m.rstd * gamma[i] + beta[i];
}

float normalise_row(const float* x, int64_t width, float epsilon, float* x_hat) {
  const Moments m = moments(x, width, epsilon);
  for (int64_t i = 0; i < width; ++i) x_hat[i] = (x[i] - m.mean) * m.rstd;
  return m.rstd;
}

void add(float* a, const float* b, int64_t count) {
  for (int64_t i = 0; i < count; ++i) a[i] += b[i];
}

void add_scaled(float* a, const float* b, int64_t count, float factor) {
  for (int64_t i = 0; i < count; ++i) a[i] += factor * b[i];
}

void scale(float* a, const float* b, int64_t count, float factor) {
  for (int64_t i = 0; i < count; ++i) a[i] = factor * b[i];
}

float dot(const float* a, const float* b, int64_t count) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < count; ++i) sum += a[i] * b[i];
  return sum;
}

void dot_four_rows(const float* m, int64_t stride, const float* v, int64_t count, float* y) {
  const float *m0 = m, *m1 = m + stride, *m2 = m + 2 * stride, *m3 = m + 3 * stride;
  float y0 = 0, y1 = 0, y2 = 0, y3 = 0;
#pragma omp simd reduction(+ : y0, y1, y2, y3)
  for (int64_t i = 0; i < count; ++i) {
    y0 += m0[i] * v[i];
    y1 += m1[i] * v[i];
    y2 += m2[i] * v[i];
    y3 += m3[i] * v[i];
  }
  y[0] = y0, y[1] = y1, y[2] = y2, y[3] = y3;
}

void add_four_rows(const float* m, int64_t stride, const float* v, int64_t count, float* y) {
  const float *m0 = m, *m1 = m + stride, *m2 = m + 2 * stride, *m3 = m + 3 * stride;
  const float v0 = v[0], v1 = v[1], v2 = v[2], v3 = v[3];
#pragma omp simd
  for (int64_t j = 0; j < count; ++j) y[j] += v0 * m0[j] + v1 * m1[j] + v2 * m2[j] + v3 * m3[j];
}

float largest(const float* x, int64_t count) {
  return largest_of(
      x, count, x[0], [](const Floats&) {}, [](float value) { return value; });
}

float largest_magnitude(const float* x, int64_t count) {
  const auto magnitudes = [](Floats& v) { v = (Floats)((FloatBits)v & 0x7fffffff); };
  return largest_of(x, count, 0, magnitudes, [](float value) { return __builtin_fabsf(value); });
}

}  // namespace clip_es::ops::CLIP_ES_LEVEL
