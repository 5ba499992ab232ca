#include "crf/position_filter.h"

#include <algorithm>
#include <cmath>
#include <memory>

#include "ops/lattice.h"

namespace clip_es::crf {

// The corners of the pixels in column x lie in columns x * columns_per_pixel + 3.5 to + 5 of the grid.
GridStrip::GridStrip(const PositionGrid& grid, const ImageTile& tile) {
  const double per_pixel = grid.columns_per_pixel;
  const auto columns_from = [&](int64_t x) { return static_cast<int64_t>(std::floor(static_cast<double>(x) * per_pixel + 3.4)); };
  const auto columns_until = [&](int64_t x) { return static_cast<int64_t>(std::floor(static_cast<double>(x - 1) * per_pixel + 5.1)) + 1; };
  const auto pixel_at = [&](double column) { return std::clamp(static_cast<int64_t>(column / per_pixel), int64_t{0}, grid.width); };
  begin = columns_from(tile.x);
  end = std::min(columns_until(tile.x + tile.width), grid.columns);
  pixels_begin = pixel_at(begin - 7.1);
  pixels_end = pixel_at(end - 2.4 + per_pixel);
  touched_begin = std::max<int64_t>(std::min(columns_from(pixels_begin), begin - 2), 0);
  touched_end = std::min(std::max(columns_until(pixels_end), end + 2), grid.columns);
}

TileFilter::TileFilter(const PositionGrid& grid, const ImageTile& tile, int64_t channels, float* buffer)
    : grid_(&grid),
      tile_(tile),
      strip_(grid, tile),
      channels_(channels),
      width_(grid.columns * channels),
      window_(buffer),
      rings_{buffer + 2 * kWindow * width_, buffer + (2 * kWindow + kRing) * width_},
      blurred_(buffer + kWindow * width_) {
  blurred_start_ = low_row(tile.y);
  next_ = blurred_start_ - 3;
  window_start_ = next_ - 1 - PositionGrid::kRowsPerPixelRow;
  clear_window(window_start_);
  y_ = std::lower_bound(grid.base.begin(), grid.base.end(), window_start_ * grid.columns) - grid.base.begin();
}

void TileFilter::slice(int64_t y, const float* pixels, float* row) {
  const int64_t low = low_row(y), end = std::min(low + PositionGrid::kRowsPerPixelRow, grid_->rows);
  if (end > blurred_start_ + kWindow) {  // move the rows from `low` on to the front
    const int64_t first = strip_.begin * channels_, count = (strip_.end - strip_.begin) * channels_;
    for (int64_t r = low; r < next_ - 3; ++r) std::copy_n(blurred_row(r) + first, count, blurred_row(r + blurred_start_ - low) + first);
    blurred_start_ = low;
  }
  for (; next_ < end + 3; ++next_) {
    splat_until(next_ + 1, pixels);
    blur_axis<0>(next_);
    if (next_ - 1 >= low_row(tile_.y) - 2) blur_axis<1>(next_ - 1);
    if (next_ - 3 >= low_row(tile_.y)) blur_axis<2>(next_ - 3);
  }
  ops::lattice_slice(grid_->corners_at(y * grid_->width + tile_.x), blurred_row(low), tile_.width, channels_, false, row);
}

// Sets the rows from `row` to the end of the window to 0.
void TileFilter::clear_window(int64_t row) {
  for (; row < window_start_ + kWindow; ++row)
    std::fill(window_row(row) + strip_.touched_begin * channels_, window_row(row) + strip_.touched_end * channels_, 0.0f);
}

// Splats the photo's rows that touch grid row `row` or a row before it.
void TileFilter::splat_until(int64_t row, const float* pixels) {
  if (row >= window_start_ + kWindow - PositionGrid::kRowsPerPixelRow) {
    // The next rows would not fit in the window: keep the rows from `row - 2` on, and move them to the front.
    const int64_t moved = row - 2 - window_start_, kept = kWindow - moved, first = strip_.touched_begin * channels_;
    for (int64_t r = 0; r < kept; ++r)
      std::copy_n(window_ + (moved + r) * width_ + first, (strip_.touched_end - strip_.touched_begin) * channels_,
                  window_ + r * width_ + first);
    window_start_ = row - 2;
    clear_window(window_start_ + kept);
  }
  for (; y_ < grid_->height && low_row(y_) <= row; ++y_) {
    const int64_t pixel = y_ * grid_->width + strip_.pixels_begin;
    ops::lattice_splat(grid_->corners_at(pixel), pixels + pixel * channels_, strip_.pixels_end - strip_.pixels_begin, channels_,
                       window_row(low_row(y_)), grid_->width);
  }
}

// Blurs one row of the grid along an axis. A step along axis 0 or 1 changes the column by at most 1, along axis 2 by 0. So axis 1 needs one
// column of axis 0's result on each side of the strip, and axis 0 two columns of the splatted values.
template <int Axis>
void TileFilter::blur_axis(int64_t row) {
  constexpr int64_t kRowStep = Axis == 2 ? -2 : 1, kBeyond = Axis == 0 ? 1 : 0;
  const PositionGrid& grid = *grid_;
  const size_t r = row;
  const bool inside = row >= 0 && row < grid.rows;
  const int64_t begin = std::max<int64_t>(strip_.begin - kBeyond, 0), end = std::min(strip_.end + kBeyond, grid.columns);
  const int64_t first = inside ? std::clamp<int64_t>(grid.first[r], begin, end) : end;
  const int64_t last = inside ? std::clamp<int64_t>(grid.last[r], first, end) : end;
  float* out = Axis == 2 ? blurred_row(row) : ring_row(Axis, row);
  if (Axis != 2) {
    std::fill(out + begin * channels_, out + first * channels_, 0.0f);
    std::fill(out + last * channels_, out + end * channels_, 0.0f);
  }
  if (first == last) return;
  const auto neighbour = [&](int64_t rows, int64_t step) {
    const float* start = Axis == 0 ? window_row(row + rows) : ring_row(Axis == 0 ? 0 : Axis - 1, row + rows);
    return start + (step - rows * grid.columns + first) * channels_;
  };
  const PositionGrid::Steps& steps = grid.steps[r];
  ops::lattice_blur_row(neighbour(0, 0), neighbour(-kRowStep, steps.before[Axis]), neighbour(kRowStep, steps.after[Axis]),
                        (last - first) * channels_, out + first * channels_);
  for (int32_t h = grid.holes_begin[r]; h < grid.holes_begin[r + 1]; ++h)
    if (const int64_t hole = grid.holes[h]; hole >= first && hole < last) std::fill_n(out + hole * channels_, channels_, 0.0f);
}

PositionFilter::PositionFilter(HostContext& context, const PositionGrid& grid, int64_t channels)
    : grid_(grid),
      channels_(channels),
      tiles_(context.arena.take<TileFilter>(context.pool.size())),
      scratch_(context.arena.take<float>(TileFilter::scratch_size(grid, channels) * context.pool.size())) {}

void PositionFilter::begin(const ImageTile& tile, int worker) {
  std::construct_at(&tiles_[worker], grid_, tile, channels_, scratch_.data() + worker * TileFilter::scratch_size(grid_, channels_));
}

void normalise_position_grid(HostContext& context, std::span<const ImageTile> tiles, PositionGrid& grid, float strength) {
  Arena::Scope scope(context.arena);
  const auto ones = context.arena.take<float>(grid.width * grid.height), sums = context.arena.take<float>(ones.size());
  std::fill(ones.begin(), ones.end(), 1.0f);
  PositionFilter filter(context, grid, 1);
  context.pool.run(std::ssize(tiles), [&](int64_t t, int worker) {
    const ImageTile& tile = tiles[t];
    filter.begin(tile, worker);
    for (int64_t y = tile.y; y < tile.y + tile.height; ++y) filter.slice(y, worker, ones.data(), sums.data() + y * grid.width + tile.x);
  });
  context.pool.split(grid.height, 16, [&](int64_t begin, int64_t end) {
    for (int64_t y = begin; y < end; ++y)
      ops::normalise_weights(sums.data() + y * grid.width, grid.width, 3, strength, grid.weight.data() + y * grid.width * 3);
  });
}

}  // namespace clip_es::crf
