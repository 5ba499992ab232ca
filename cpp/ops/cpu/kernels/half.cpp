#include <cstdint>

#include "core/float16.h"
#include "ops/cpu/kernels.h"

#if defined(__AVX512F__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace clip_es::ops::CLIP_ES_LEVEL {

void to_bfloat16(const float* from, int64_t count, uint16_t* to) {
  int64_t i = 0;
#if defined(__AVX512BF16__)
  for (; i + 32 <= count; i += 32) {
    const __m512bh both = _mm512_cvtne2ps_pbh(_mm512_loadu_ps(from + i + 16), _mm512_loadu_ps(from + i));
    _mm512_storeu_si512(to + i, (__m512i)both);
  }
#elif defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)
  for (; i + 8 <= count; i += 8) {
    const bfloat16x8_t both = vcvtq_high_bf16_f32(vcvtq_low_bf16_f32(vld1q_f32(from + i)), vld1q_f32(from + i + 4));
    vst1q_u16(to + i, vreinterpretq_u16_bf16(both));
  }
#endif
  for (; i < count; ++i) to[i] = float_to_bfloat16(from[i]);
}

void from_bfloat16(const uint16_t* from, int64_t count, float* to) {
  for (int64_t i = 0; i < count; ++i) to[i] = bfloat16_to_float(from[i]);
}

void from_float16(const uint16_t* from, int64_t count, float* to) {
  int64_t i = 0;
#if defined(__AVX512F__)
  constexpr __mmask16 kAll = 0xffff;  // without a mask, GCC 12 warns of an uninitialised value in its own header
  for (; i + 16 <= count; i += 16)
    _mm512_storeu_ps(to + i, _mm512_maskz_cvtph_ps(kAll, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + i))));
#elif defined(__aarch64__)
  for (; i + 4 <= count; i += 4) vst1q_f32(to + i, vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(from + i))));
#endif
  for (; i < count; ++i) to[i] = finite_float16_to_float(from[i]);
}

}  // namespace clip_es::ops::CLIP_ES_LEVEL
