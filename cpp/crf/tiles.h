// Internal to cpp/crf. The photo is cut into tiles. Threads share them, and the lattice points that one tile touches fit in the cache.
#pragma once
#include <cstdint>
#include <span>

#include "core/arena.h"

namespace clip_es::crf {

// At most 6 * 64 * 64 corners in a tile, so that their numbers fit in 16 bits (see Lattice::slot).
constexpr int64_t kTileSide = 64;

// Arrays that are kept by tiles hold one tile after the other, and each tile row by row.
struct ImageTile {
  int64_t x, y, width, height;
  int64_t first_pixel;  // of this tile, in such an array
  int64_t pixels() const { return width * height; }
  int64_t pixel(int64_t row) const { return first_pixel + (row - y) * width; }  // where the photo's row begins in such an array
};

// Tiles begin at columns that are multiples of 8. So only the last tile of a row can have a width that is not a multiple of 8.
std::span<ImageTile> cut_into_tiles(Arena&, int64_t width, int64_t height);

}  // namespace clip_es::crf
