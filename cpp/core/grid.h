// The grid of patches that a photo is cut into.
#pragma once
#include <cstdint>

namespace clip_es {

struct Grid {
  int64_t height, width;  // in patches
  int64_t patches() const { return height * width; }
  int64_t tokens() const { return patches() + 1; }  // with the class token
};

}  // namespace clip_es
