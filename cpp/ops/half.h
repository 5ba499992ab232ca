// Converts arrays of float16 and bfloat16, the formats in which weights are stored, to and from float32. core/float16.h converts single
// numbers.
#pragma once
#include <cstdint>
#include <span>

namespace clip_es::ops {

// Rounds to nearest, ties to even. All values must be finite: the reader of the model checks weights, and activations stay finite.
// Depending on the CPU, values below 2^-126 may become zero.
void to_bfloat16(const float* from, int64_t count, uint16_t* to);
void from_bfloat16(const uint16_t* from, int64_t count, float* to);

// IEEE binary16. Returns false if float16 cannot represent a value exactly; `to` is then partly written.
bool to_float16_exactly(std::span<const float> from, uint16_t* to);
void from_float16(const uint16_t* from, int64_t count, float* to);  // finite numbers

}  // namespace clip_es::ops
