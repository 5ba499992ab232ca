// The two 16-bit floating-point formats that weights are kept in, to and from float32.
#pragma once
#include <cstdint>
#include <span>

namespace clip_es {

// Rounds to nearest, ties to even. The values are finite: weights are checked at load, activations stay so.
void to_bfloat16(const float* from, int64_t count, uint16_t* to);
bool rounds_to_bfloat16_natively();  // by the processor's own instruction, which makes zeros of numbers below 2^-126
void from_bfloat16(const uint16_t* from, int64_t count, float* to);

// IEEE binary16. The first gives false, and leaves `to` half filled, when a value is not one of its numbers.
bool to_float16_exactly(std::span<const float> from, uint16_t* to);
void from_float16(const uint16_t* from, int64_t count, float* to);

}  // namespace clip_es
