#include <cstddef>

#include "ops/cpu/kernels/vector_math.h"

#if defined(__AVX512BF16__)
#include <immintrin.h>
#elif defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)
#include <arm_neon.h>
#endif

namespace clip_es::ops::CLIP_ES_LEVEL {

int32_t quantise(const float* x, int64_t count, float factor, int8_t* to) {
  int32_t sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < count; ++i) {
    const int32_t q = __builtin_bit_cast(int32_t, x[i] * factor + kRound) - static_cast<int32_t>(kRoundBits);
    to[i] = static_cast<int8_t>(q);
    sum += q;
  }
  return sum;
}

void interleave(const std::byte* const rows[4], int64_t count, int64_t chunk, int64_t step, uint32_t* to) {
  if (chunk == 2) {
    for (int64_t i = 0; i < count; i += 2)
      for (int64_t r = 0; r < 4; ++r) std::memcpy(to + i * step + 2 * r, rows[r] + i * 4, 8);
    return;
  }
  int64_t i = 0;
  for (; i + 4 <= count; i += 4) {
    Bits4 square[4];
    for (int r = 0; r < 4; ++r) load(square[r], rows[r] + i * 4);
    transpose(square);
    for (int k = 0; k < 4; ++k) store(to + (i + k) * step, square[k]);
  }
  for (; i < count; ++i)
    for (int64_t r = 0; r < 4; ++r) std::memcpy(to + i * step + r, rows[r] + i * 4, 4);
}

void interleave_pair(const uint16_t* low, const uint16_t* high, int64_t count, uint32_t* to) {
  for (int64_t i = 0; i < count; ++i) to[i] = static_cast<uint32_t>(high[i]) << 16 | low[i];
}

#if defined(__AVX512BF16__)
// The numbers are rounded in registers, eight floats of each row at a time. Often they have just been written as vectors of eight floats,
// and a longer load would have to wait until these vectors are in the cache.
void interleave_bfloat16(const float* const rows[4], int64_t count, int64_t step, uint32_t* to) {
  const float *x0 = rows[0], *x1 = rows[1], *x2 = rows[2], *x3 = rows[3];
  for (int64_t i = 0; i < count; i += 8) {
    const int64_t left = count - i;
    const auto mask = static_cast<__mmask8>(left < 8 ? (1 << left) - 1 : 0xff);
    const auto a = (__m128i)_mm256_cvtneps_pbh(_mm256_maskz_loadu_ps(mask, x0 + i)),
               b = (__m128i)_mm256_cvtneps_pbh(_mm256_maskz_loadu_ps(mask, x1 + i));
    const auto c = (__m128i)_mm256_cvtneps_pbh(_mm256_maskz_loadu_ps(mask, x2 + i)),
               d = (__m128i)_mm256_cvtneps_pbh(_mm256_maskz_loadu_ps(mask, x3 + i));
    Bits4 square[] = {(Bits4)a, (Bits4)b, (Bits4)c, (Bits4)d};
    transpose(square);
    const int64_t words = left < 8 ? (left + 1) / 2 : 4;
    for (int64_t k = 0; k < words; ++k, to += step) store(to, square[k]);
  }
}
#elif defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)
// Eight floats of each row become two chunks of two words.
void interleave_bfloat16(const float* const rows[4], int64_t count, int64_t step, uint32_t* to) {
  constexpr int64_t kEight = 8;
  for (int64_t i = 0; i < count; i += kEight, to += 4 * step) {
    const int64_t left = count - i;
    uint64x2_t chunks[4];
    for (int r = 0; r < 4; ++r) {
      float last[kEight] = {};
      const float* from = rows[r] + i;
      if (left < kEight) from = static_cast<const float*>(std::memcpy(last, from, left * sizeof(float)));
      chunks[r] = vreinterpretq_u64_bf16(vcvtq_high_bf16_f32(vcvtq_low_bf16_f32(vld1q_f32(from)), vld1q_f32(from + 4)));
    }
    for (int r = 0; r < 4; r += 2) {
      vst1q_u64(reinterpret_cast<uint64_t*>(to + 2 * r), vzip1q_u64(chunks[r], chunks[r + 1]));
      if (left > kEight / 2) vst1q_u64(reinterpret_cast<uint64_t*>(to + 2 * step + 2 * r), vzip2q_u64(chunks[r], chunks[r + 1]));
    }
  }
}
#endif

}  // namespace clip_es::ops::CLIP_ES_LEVEL
