// Internal to cpp/crf. Blurs with the position kernel's grid one tile at a time, so that splat, blur and slice of a tile stay in the cache.
#pragma once
#include <cstdint>
#include <span>

#include "core/context.h"
#include "crf/position_grid.h"
#include "crf/tiles.h"

namespace clip_es::crf {

// Does for a PositionGrid what normalise_lattice() does for a Lattice.
void normalise_position_grid(HostContext&, std::span<const ImageTile>, PositionGrid&, float strength);

// The part of the grid's columns that one tile needs.
struct GridStrip {
  int64_t begin, end;                // columns of the corners of the tile's pixels
  int64_t pixels_begin, pixels_end;  // in a row of the photo: the pixels that touch these columns or the 2 on each side that the blur reads
  int64_t touched_begin, touched_end;  // all columns that are written or read: those of these pixels' corners, and the 2 on each side

  GridStrip(const PositionGrid&, const ImageTile&);
};

// Filters one tile. Each row of the grid is splatted, blurred along the three axes and sliced as soon as the rows that it needs are ready.
// A tile also computes the rows and columns around its own that the blur reads, and a point always adds up the photo's pixels in their
// order: results do not depend on the tiles. One thread uses a filter.
class TileFilter {
 public:
  static int64_t scratch_size(const PositionGrid& grid, int64_t channels) { return (2 * kWindow + 2 * kRing) * grid.columns * channels; }

  // buffer: scratch_size() floats. The grid must outlive the filter.
  TileFilter(const PositionGrid&, const ImageTile&, int64_t channels, float* buffer);
  // pixels (height, width, channels). row (tile.width, channels): the blurred pixels of the photo's row y. Call it for each row of the
  // tile, in ascending order and with the same pixels.
  void slice(int64_t y, const float* pixels, float* row);

 private:
  static constexpr int64_t kRing = 8, kWindow = 32;

  int64_t low_row(int64_t y) const { return grid_->base[y] / grid_->columns; }
  float* window_row(int64_t row) const { return window_ + (row - window_start_) * width_; }
  float* ring_row(int i, int64_t row) const { return rings_[i] + (row & (kRing - 1)) * width_; }
  float* blurred_row(int64_t row) const { return blurred_ + (row - blurred_start_) * width_; }
  void clear_window(int64_t row);
  void splat_until(int64_t row, const float* pixels);
  template <int Axis>
  void blur_axis(int64_t row);

  const PositionGrid* grid_;
  ImageTile tile_;
  GridStrip strip_;
  int64_t channels_, width_;
  float* window_;    // (kWindow, columns, channels): splatted rows from window_start_ on
  float* rings_[2];  // (kRing, columns, channels): rows blurred along the first axis, and along the first two
  float* blurred_;   // (kWindow, columns, channels): rows blurred along all axes, from blurred_start_ on
  int64_t window_start_, blurred_start_;
  int64_t y_ = 0;  // the next row of the photo to splat
  int64_t next_;   // the next row of the grid to blur along the first axis
};

// One TileFilter for each worker. The memory comes from the context's arena. The grid must outlive the filter.
class PositionFilter {
 public:
  PositionFilter(HostContext&, const PositionGrid&, int64_t channels);
  void begin(const ImageTile&, int worker);
  // TileFilter::slice() for the worker's current tile.
  void slice(int64_t y, int worker, const float* pixels, float* row) { tiles_[worker].slice(y, pixels, row); }

 private:
  const PositionGrid& grid_;
  int64_t channels_;
  std::span<TileFilter> tiles_;  // (workers)
  std::span<float> scratch_;
};

}  // namespace clip_es::crf
