// Conversions of single numbers between float32 and the two 16-bit formats.
#include "core/float16.h"

#include <cmath>
#include <limits>

#include "check.h"

namespace clip_es::float16_test {

TEST("every finite float16 is the number that its bits mean") {
  for (uint32_t bits = 0; bits < 0x7c00; ++bits) {
    const int exponent = static_cast<int>(bits >> 10), mantissa = static_cast<int>(bits & 0x3ff);
    const double size = exponent ? std::ldexp(1024 + mantissa, exponent - 25) : std::ldexp(mantissa, -24);
    for (const auto& convert : {finite_float16_to_float, float16_to_float}) {
      CHECK(convert(static_cast<uint16_t>(bits)) == size);
      CHECK(convert(static_cast<uint16_t>(bits | 0x8000)) == -size && std::signbit(convert(static_cast<uint16_t>(bits | 0x8000))));
    }
  }
  CHECK(float16_to_float(0x7c00) == INFINITY && float16_to_float(0xfc00) == -INFINITY);
  CHECK(std::isnan(float16_to_float(0x7c01)) && std::isnan(float16_to_float(0xffff)));
}

TEST("float32 is rounded to float16 towards zero, and to zero beyond the largest float16") {
  for (uint32_t bits = 0; bits < 0x7c00; ++bits) {
    const float value = float16_to_float(static_cast<uint16_t>(bits));
    const float above = bits == 0x7bff ? value : std::nextafter(float16_to_float(static_cast<uint16_t>(bits + 1)), 0.0f);
    for (const uint32_t sign : {0u, 0x8000u})
      for (const float size : {value, std::nextafter(value, above), (value + above) / 2, above})
        CHECK(truncate_to_float16(sign ? -size : size) == (bits | sign));
  }
  for (const float size : {std::nextafter(65504.0f, INFINITY), 1e30f, INFINITY})
    CHECK(truncate_to_float16(size) == 0 && truncate_to_float16(-size) == 0x8000);
}

TEST("float32 is rounded to the nearest bfloat16, and to the even one of two that are equally near") {
  for (uint32_t bits = 0; bits < 0x7f7f; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    const float value = bfloat16_to_float(half), next = bfloat16_to_float(static_cast<uint16_t>(half + 1));
    const float middle = __builtin_bit_cast(float, (bits << 16) + 0x8000);
    CHECK(__builtin_bit_cast(uint32_t, value) == bits << 16);
    CHECK(float_to_bfloat16(value) == half && float_to_bfloat16(-value) == (half | 0x8000));
    CHECK(float_to_bfloat16(middle) == (half % 2 ? half + 1 : half));
    CHECK(float_to_bfloat16(std::nextafter(middle, value)) == half && float_to_bfloat16(std::nextafter(middle, next)) == half + 1);
  }
}

}  // namespace clip_es::float16_test
