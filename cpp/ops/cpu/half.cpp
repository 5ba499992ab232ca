#include "ops/half.h"

#include <bit>

#include "core/float16.h"
#include "ops/cpu/kernels.h"

namespace clip_es::ops {

void to_bfloat16(const float* from, int64_t count, uint16_t* to) { kernels().to_bfloat16(from, count, to); }

void from_bfloat16(const uint16_t* from, int64_t count, float* to) { kernels().from_bfloat16(from, count, to); }

bool to_float16_exactly(std::span<const float> from, uint16_t* to) {
  for (const float value : from) {
    *to = truncate_to_float16(value);
    if (std::bit_cast<uint32_t>(finite_float16_to_float(*to++)) != std::bit_cast<uint32_t>(value)) return false;
  }
  return true;
}

void from_float16(const uint16_t* from, int64_t count, float* to) { kernels().from_float16(from, count, to); }

}  // namespace clip_es::ops
