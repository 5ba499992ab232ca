#include "crf/tiles.h"

#include <algorithm>

namespace clip_es::crf {

std::span<ImageTile> cut_into_tiles(Arena& arena, int64_t width, int64_t height) {
  const int64_t across = (width + kTileSide - 1) / kTileSide, down = (height + kTileSide - 1) / kTileSide;
  const auto left = [&](int64_t i) { return std::min((width + 7) / 8 * i / across * 8, width); };
  const auto tiles = arena.take<ImageTile>(across * down);
  int64_t pixel = 0;
  for (int64_t j = 0; j < down; ++j)
    for (int64_t i = 0; i < across; ++i) {
      ImageTile& tile = tiles[j * across + i];
      tile.x = left(i);
      tile.y = height * j / down;
      tile.width = left(i + 1) - tile.x;
      tile.height = height * (j + 1) / down - tile.y;
      tile.first_pixel = pixel;
      pixel += tile.pixels();
    }
  return tiles;
}

}  // namespace clip_es::crf
