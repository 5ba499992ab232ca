// The special values of a mask's bytes. Other values are labels.
#pragma once
#include <cstdint>

namespace clip_es {

constexpr uint8_t kBackground = 0;
constexpr uint8_t kIgnored = 255;  // no label, because the confidence is too low

}  // namespace clip_es
