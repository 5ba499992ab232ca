// An image in tiles: what threads share, and few enough pixels that what a tile touches stays in the cache.
#pragma once
#include <cstdint>
#include <span>

#include "core/arena.h"

namespace clip_es {

constexpr int64_t kTileSide = 64;  // 6 corners * 64 * 64 pixels < 2^16, see Lattice::slot

struct Tile {
  int64_t x, y, width, height;
  int64_t first_pixel, first_row;  // tiles keep their pixels one tile after the other, row by row within each
  int64_t pixels() const { return width * height; }
  int64_t pixel(int64_t row) const { return first_pixel + (row - y) * width; }  // where the image's row begins
};

// Columns begin at multiples of 8: loops over 8 pixels then have a remainder in the last one alone.
std::span<Tile> cut_into_tiles(Arena&, int64_t width, int64_t height);

}  // namespace clip_es
