// A photo -> the pixels and the grid of patches that enter the image tower.
#pragma once
#include <cstdint>

#include "clip/model.h"
#include "core/context.h"

namespace clip_es {

// Tightly packed rows of 1 (grey), 3 (RGB) or 4 (RGBA, alpha dropped) bytes a pixel.
struct Image {
  const uint8_t* data;
  int64_t width, height, channels;
};

// The photo's own bytes when it is RGB already, else a copy in the arena: (height, width, 3).
const uint8_t* to_rgb(HostContext&, const Image&);

struct Grid {
  int64_t height, width;  // in patches
  int64_t patches() const { return height * width; }
};

struct PhotoSize {
  int64_t width, height;
};

// The photo's size after max_side, see patch_grid().
PhotoSize reduced_size(int64_t width, int64_t height, int64_t max_side);

// max_side: a longer photo is first reduced to it (both sides by the same factor, rounded, at least 1); 0 is no limit. Then each side
// goes UP to the next multiple of the patch, aspect not kept.
Grid patch_grid(int64_t width, int64_t height, int64_t patch, int64_t max_side);

// -> patches (grid.patches(), 3 * patch * patch), normalised, each in the order channel, y, x.
void preprocess(HostContext&, const Model&, const Image&, int64_t max_side, float* patches);

}  // namespace clip_es
