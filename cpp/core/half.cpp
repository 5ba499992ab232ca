#include "core/half.h"

#include <bit>
#include <cmath>

#include "core/multiversion.h"

#ifdef CLIP_ES_X86
#include <immintrin.h>
#endif

namespace clip_es {
namespace {

constexpr int kMantissaShift = 13;                      // float32 has 23 bits of mantissa, binary16 has 10
constexpr uint32_t kRebias = uint32_t{127 - 15} << 23;  // between the exponents
constexpr float kSmallest = 0x1p-24f;                   // the unit of binary16's subnormal numbers
constexpr float kSmallestNormal = 0x1p-14f, kLargest = 65504.0f;

// Subnormal numbers are made from their integer: with denormals flushed to zero, a float32 pattern could not be rescaled.
[[gnu::always_inline]] inline float widen(uint16_t half) {
  const uint32_t magnitude = half & 0x7fffu, sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  const auto subnormal = std::bit_cast<uint32_t>(static_cast<float>(static_cast<int32_t>(magnitude)) * kSmallest);
  const uint32_t normal = (magnitude << kMantissaShift) + kRebias;
  return std::bit_cast<float>((magnitude < 0x400u ? subnormal : normal) | sign);
}

uint16_t narrow(float value) {  // drops what does not fit
  const auto bits = std::bit_cast<uint32_t>(value);
  const float size = std::fabs(value);
  const auto sign = static_cast<uint16_t>(bits >> 16 & 0x8000u);
  if (size > kLargest) return sign;
  if (size < kSmallestNormal) return static_cast<uint16_t>(sign | static_cast<uint16_t>(size / kSmallest));
  return static_cast<uint16_t>(sign | ((bits & 0x7fffffffu) - kRebias) >> kMantissaShift);
}

CLIP_ES_MULTIVERSION void round_to_bfloat16(const float* from, int64_t count, uint16_t* to) {
  for (int64_t i = 0; i < count; ++i) {
    const auto bits = std::bit_cast<uint32_t>(from[i]);
    to[i] = static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
  }
}

#ifdef CLIP_ES_X86
__attribute__((target("avx512f,avx512bf16,avx512vl"))) void round_natively(const float* from, int64_t count, uint16_t* to) {
  int64_t i = 0;
  for (; i + 32 <= count; i += 32) {
    const __m512bh both = _mm512_cvtne2ps_pbh(_mm512_loadu_ps(from + i + 16), _mm512_loadu_ps(from + i));
    _mm512_storeu_si512(to + i, (__m512i)both);
  }
  if (i < count) round_to_bfloat16(from + i, count - i, to + i);
}
#endif

}  // namespace

bool rounds_to_bfloat16_natively() {
#ifdef CLIP_ES_X86
  static const bool native = [] {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vl");
  }();
  return native;
#else
  return false;
#endif
}

void to_bfloat16(const float* from, int64_t count, uint16_t* to) {
#ifdef CLIP_ES_X86
  if (rounds_to_bfloat16_natively()) return round_natively(from, count, to);
#endif
  round_to_bfloat16(from, count, to);
}

CLIP_ES_MULTIVERSION void from_bfloat16(const uint16_t* from, int64_t count, float* to) {
  for (int64_t i = 0; i < count; ++i) to[i] = std::bit_cast<float>(static_cast<uint32_t>(from[i]) << 16);
}

bool to_float16_exactly(std::span<const float> from, uint16_t* to) {
  for (const float value : from) {
    *to = narrow(value);
    if (std::bit_cast<uint32_t>(widen(*to++)) != std::bit_cast<uint32_t>(value)) return false;
  }
  return true;
}

CLIP_ES_MULTIVERSION void from_float16(const uint16_t* from, int64_t count, float* to) {
  for (int64_t i = 0; i < count; ++i) to[i] = widen(from[i]);
}

}  // namespace clip_es
