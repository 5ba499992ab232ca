// A blur with the position kernel's lattice, tile by tile: splat, blur and slice of one tile stay in the cache.
#pragma once
#include <cstdint>
#include <span>

#include "core/context.h"
#include "crf/position_grid.h"
#include "crf/tiles.h"

namespace clip_es {

// As normalise_lattice().
void normalise_position_grid(HostContext&, std::span<const Tile>, PositionGrid&, float strength);

// Some columns of the grid and the pixels that matter to them.
struct GridStrip {
  int64_t begin, end;                  // columns that a tile's pixels lie in
  int64_t pixels_begin, pixels_end;    // of a photo's row: those that touch these columns or the two on either side that the blur reads
  int64_t touched_begin, touched_end;  // columns that those pixels touch, or that are read

  GridStrip(const PositionGrid&, const Tile&);
};

// The filter for the tile that one thread works on. Each row of the grid is splatted, blurred along the axes and sliced as soon as the rows
// it needs are there. A tile also works on the rows and columns just beyond its own that the blur reads, and a point's sum runs over the
// photo's pixels in order: results do not depend on the tiles.
class TileFilter {
 public:
  static int64_t scratch(const PositionGrid& grid, int64_t channels) { return (2 * kWindow + 2 * kRing) * grid.columns * channels; }

  // scratch: of as many floats as scratch() says.
  TileFilter(const PositionGrid&, const Tile&, int64_t channels, float* scratch);
  // pixels (height, width, channels) -> row (tile.width, channels), the blurred pixels of the photo's row y. Rows come in order.
  void slice(int64_t y, const float* pixels, float* row);

 private:
  static constexpr int64_t kRing = 8, kWindow = 32;

  int64_t low_row(int64_t y) const { return grid_->base[static_cast<size_t>(y)] / grid_->columns; }
  float* in_window(int64_t row) const { return window_ + (row - window_start_) * width_; }
  float* in_ring(int i, int64_t row) const { return rings_[i] + (row & (kRing - 1)) * width_; }
  float* in_blurred(int64_t row) const { return blurred_ + (row - blurred_start_) * width_; }
  void clear_window(int64_t row);
  void splat_until(int64_t row, const float* pixels);
  template <int Axis>
  void along(int64_t row);

  const PositionGrid* grid_;
  Tile tile_;
  GridStrip strip_;
  int64_t channels_, width_;
  float* window_;    // (kWindow, columns, channels): splatted, from window_start_ on
  float* rings_[2];  // (kRing, columns, channels): blurred along the first axis, and along two
  float* blurred_;   // (kWindow, columns, channels): along all, from blurred_start_ on
  int64_t window_start_, blurred_start_;
  int64_t y_ = 0;  // the next row of the photo to splat
  int64_t next_;   // the next row of the grid to blur along the first axis
};

// Filters for all threads. The grid must outlive it.
class PositionFilter {
 public:
  PositionFilter(HostContext&, const PositionGrid&, int64_t channels);
  void begin(const Tile&, int worker);
  // See TileFilter: of the tile that the worker began.
  void slice(int64_t y, int worker, const float* pixels, float* row) { tiles_[static_cast<size_t>(worker)].slice(y, pixels, row); }

 private:
  const PositionGrid& grid_;
  int64_t channels_;
  std::span<TileFilter> tiles_;  // (workers)
  std::span<float> scratch_;
};

}  // namespace clip_es
