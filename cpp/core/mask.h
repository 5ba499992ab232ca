// What the bytes of a mask mean.
#pragma once
#include <cstdint>

namespace clip_es {

constexpr uint8_t kBackground = 0;
constexpr uint8_t kIgnored = 255;  // too uncertain: no label

}  // namespace clip_es
