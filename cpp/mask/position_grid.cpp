#include "mask/position_grid.h"

#include <algorithm>
#include <atomic>
#include <cmath>

#include "ops/lattice.h"
#include "ops/lattice_key.h"

namespace clip_es {
namespace {

constexpr int64_t kMarginRows = 6, kMarginColumns = 4;  // points read beyond those that exist: the blur reaches 4 rows and 2 columns
constexpr int64_t kRowsPerPixelRow = 6;                 // a photo row's corners lie in fewer

int64_t floor_div(int64_t a, int64_t b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }

// A point's coordinates sum to 0, so its first and last one name it. Row = kMarginRows - last; the points of a row have the same remainder
// modulo 3, and their first coordinates lie 3 apart.
struct Geometry {
  static int64_t last_of(int64_t row) { return kMarginRows - row; }
  static int64_t remainder(int64_t coordinate) { return coordinate - 3 * floor_div(coordinate, 3); }
  // The quotient by 3 of the first coordinate in column 0: rows of the photo's left edge.
  static int64_t first_quotient(int64_t row) {
    const int64_t last = last_of(row);
    return floor_div(-last - 2 * remainder(last), 6) - kMarginColumns;
  }
  // The distance from a point of `row` to the one whose first and last coordinates are that much greater.
  static int64_t step(int64_t row, int64_t columns, int64_t first, int64_t last) {
    const int64_t from = remainder(last_of(row)), to_row = row - last, to = remainder(last_of(to_row));
    return (to_row - row) * columns + (from + first - to) / 3 + first_quotient(row) - first_quotient(to_row);
  }
};

// Splat and blur of a block of the grid's rows, each as soon as the rows it needs are there, so that a row stays in the cache from the
// first photo row that touches it to the last axis. A block also works on the rows just beyond its own that the blur reads, and a point's
// sum runs over the photo's rows in order: results do not depend on the blocks.
class RowFilter {
 public:
  static constexpr int64_t kRing = 8, kWindow = 32;
  static int64_t scratch(const PositionGrid& grid, int64_t channels) { return (kWindow + 2 * kRing) * grid.columns * channels; }

  RowFilter(const PositionGrid& grid, int64_t channels, const float* pixels, float* scratch, float* to)
      : grid_(grid),
        channels_(channels),
        width_(grid.columns * channels),
        pixels_(pixels),
        window_(scratch),
        rings_{scratch + kWindow * width_, scratch + (kWindow + kRing) * width_},
        to_(to) {}

  void run(int64_t begin, int64_t end) {
    window_start_ = begin - 4 - kRowsPerPixelRow;
    std::fill(window_, window_ + kWindow * width_, 0.0f);
    while (y_ < grid_.height && low_row(y_) < window_start_) ++y_;
    for (int64_t row = begin - 3; row < end + 3; ++row) {
      splat_until(row + 1);
      along<0>(row);
      if (row - 1 >= begin - 2) along<1>(row - 1);
      if (row - 3 >= begin) along<2>(row - 3);
    }
  }

 private:
  int64_t low_row(int64_t y) const { return grid_.base[static_cast<size_t>(y)] / grid_.columns; }
  float* in_window(int64_t row) { return window_ + (row - window_start_) * width_; }
  float* in_ring(int i, int64_t row) { return rings_[i] + (row & (kRing - 1)) * width_; }

  // The photo's rows that touch `row` or those before it.
  void splat_until(int64_t row) {
    if (row >= window_start_ + kWindow - kRowsPerPixelRow) {  // what follows would not fit: the two rows before it move to the front
      const int64_t kept = window_start_ + kWindow - (row - 2);
      std::copy(in_window(row - 2), in_window(row - 2) + kept * width_, window_);
      std::fill(window_ + kept * width_, window_ + kWindow * width_, 0.0f);
      window_start_ = row - 2;
    }
    for (; y_ < grid_.height && low_row(y_) <= row; ++y_)
      ops::lattice_splat(grid_.corners_at(y_ * grid_.width), pixels_ + y_ * grid_.width * channels_, grid_.width, channels_,
                         in_window(low_row(y_)));
  }

  template <int Axis>
  void along(int64_t row) {
    const auto r = static_cast<size_t>(row);
    const bool inside = row >= 0 && row < grid_.rows;
    const int64_t first = inside ? grid_.first[r] * channels_ : 0, last = inside ? grid_.last[r] * channels_ : 0;
    float* out = Axis == 2 ? to_ + row * width_ : in_ring(Axis, row);
    if (Axis != 2) {
      std::fill(out, out + first, 0.0f);
      std::fill(out + last, out + width_, 0.0f);
    }
    if (first == last) return;
    const auto neighbour = [&](int64_t rows_on, int64_t step) {
      const float* start = Axis == 0 ? in_window(row + rows_on) : in_ring(Axis == 0 ? 0 : Axis - 1, row + rows_on);
      return start + (step - rows_on * grid_.columns) * channels_ + first;
    };
    constexpr int64_t kOn = Axis == 2 ? -2 : 1;
    const PositionGrid::Steps& steps = grid_.steps[r];
    ops::lattice_blur_row(neighbour(0, 0), neighbour(-kOn, steps.before[Axis]), neighbour(kOn, steps.after[Axis]), last - first,
                          out + first);
    for (int32_t h = grid_.holes_begin[r]; h < grid_.holes_begin[r + 1]; ++h)
      std::fill_n(out + grid_.holes[static_cast<size_t>(h)] * channels_, channels_, 0.0f);
  }

  const PositionGrid& grid_;
  int64_t channels_, width_;
  const float* pixels_;
  float* window_;
  float* rings_[2];
  float* to_;
  int64_t window_start_ = 0, y_ = 0;
};

}  // namespace

bool build_position_grid(Context& context, int64_t width, int64_t height, float sigma, PositionGrid& grid) {
  Arena& arena = context.arena;
  const ops::LatticeScale<2> scale;
  const double reach_x = static_cast<double>(width) / sigma * scale.factor[0],
               reach_y = static_cast<double>(height) / sigma * scale.factor[1];
  const double columns = reach_x / 3 + 2 * kMarginColumns + 3, rows = 2 * reach_y + 2 * kMarginRows + 6;
  if (columns * kRowsPerPixelRow > 65535 || columns * rows > 4.0 * static_cast<double>(width * height) + 4096) return false;
  grid.width = width;
  grid.height = height;
  grid.columns = static_cast<int64_t>(columns);
  grid.rows = static_cast<int64_t>(rows);
  const auto pixels = static_cast<size_t>(width * height), row_count = static_cast<size_t>(grid.rows);
  grid.slot = arena.take<uint16_t>(pixels * 3);
  grid.weight = arena.take<float>(pixels * 3);
  grid.base = arena.take<int64_t>(static_cast<size_t>(height));
  grid.first = arena.take<int32_t>(row_count);
  grid.last = arena.take<int32_t>(row_count);
  grid.steps = arena.take<PositionGrid::Steps>(row_count);
  const auto first_quotient = arena.take<int32_t>(row_count);
  for (size_t r = 0; r < row_count; ++r) {
    const auto row = static_cast<int64_t>(r);
    first_quotient[r] = static_cast<int32_t>(Geometry::first_quotient(row));
    const int64_t changes[3][2] = {{2, -1}, {-1, -1}, {-1, 2}};  // of the first and last coordinate, one step along each axis
    for (int axis = 0; axis < 3; ++axis) {
      grid.steps[r].after[axis] = Geometry::step(row, grid.columns, changes[axis][0], changes[axis][1]);
      grid.steps[r].before[axis] = Geometry::step(row, grid.columns, -changes[axis][0], -changes[axis][1]);
    }
  }
  const auto touched = arena.take<uint8_t>(static_cast<size_t>(grid.points()));
  const auto x = arena.take<float>(static_cast<size_t>(width));
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i) / sigma * scale.factor[0];
  std::fill(touched.begin(), touched.end(), uint8_t{0});
  constexpr int64_t kBlock = 64;
  const auto place_row = [&](int64_t row) {
    const float y = static_cast<float>(row) / sigma * scale.factor[1];
    // The corners' last coordinates lie within 3 of the elevated one, -2 y.
    const int64_t low = std::max<int64_t>(static_cast<int64_t>(std::floor(2 * y)) - 2 + kMarginRows, 0);
    grid.base[static_cast<size_t>(row)] = low * grid.columns;
    for (int64_t begin = 0; begin < width; begin += kBlock) {
      const int64_t count = std::min(kBlock, width - begin);
      int32_t first[3 * kBlock], last[3 * kBlock];
      float weight[3 * kBlock];
      ops::find_triangles(x.data() + begin, y, count, first, last, weight);
      const size_t at = static_cast<size_t>((row * width + begin) * 3);
      for (int64_t i = 0; i < count * 3; ++i) {
        const int64_t point_row = kMarginRows - last[i];
        const int64_t slot = (point_row - low) * grid.columns + first[i] - first_quotient[static_cast<size_t>(point_row)];
        grid.slot[at + static_cast<size_t>(i)] = static_cast<uint16_t>(slot);
        grid.weight[at + static_cast<size_t>(i)] = weight[i];
        std::atomic_ref(touched[static_cast<size_t>(low * grid.columns + slot)]).store(1, std::memory_order_relaxed);
      }
    }
  };
  context.pool.split(height, 16, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) place_row(row);
  });
  const auto most_holes = static_cast<size_t>(grid.points() / 64);
  grid.holes = arena.take<int32_t>(most_holes);
  grid.holes_begin = arena.take<int32_t>(row_count + 1);
  size_t holes = 0;
  for (size_t r = 0; r < row_count; ++r) {
    const auto begin = touched.begin() + static_cast<int64_t>(r) * grid.columns, end = begin + grid.columns;
    const auto low = std::find(begin, end, uint8_t{1});
    auto high = end;
    while (high != low && high[-1] == 0) --high;
    grid.first[r] = static_cast<int32_t>(low == end ? 0 : low - begin);
    grid.last[r] = static_cast<int32_t>(low == end ? 0 : high - begin);
    grid.holes_begin[r] = static_cast<int32_t>(holes);
    for (auto hole = std::find(low, high, uint8_t{0}); hole != high; hole = std::find(hole + 1, high, uint8_t{0})) {
      if (holes == most_holes) return false;
      grid.holes[holes++] = static_cast<int32_t>(hole - begin);
    }
  }
  grid.holes_begin[row_count] = static_cast<int32_t>(holes);
  return true;
}

PositionFilter::PositionFilter(Context& context, const PositionGrid& grid, int64_t channels)
    : context_(context),
      grid_(grid),
      channels_(channels),
      points_(context.arena.take<float>(static_cast<size_t>(grid.points() * channels))) {}

void PositionFilter::filter(const float* pixels) {
  Arena::Scope scope(context_.arena);
  const int64_t shares = std::min<int64_t>(context_.pool.size(), (grid_.rows + 31) / 32);
  const int64_t scratch_size = RowFilter::scratch(grid_, channels_);
  const auto scratch = context_.arena.take<float>(static_cast<size_t>(scratch_size * shares));
  context_.pool.run(shares, [&](int64_t share, int) {
    context_.checkpoint();
    const int64_t begin = grid_.rows * share / shares, end = grid_.rows * (share + 1) / shares;
    RowFilter(grid_, channels_, pixels, scratch.data() + share * scratch_size, points_.data()).run(begin, end);
  });
}

void PositionFilter::slice(int64_t x, int64_t y, int64_t count, float* pixels) const {
  const int64_t pixel = y * grid_.width + x;
  ops::lattice_slice(grid_.corners_at(pixel), points_.data() + grid_.base[static_cast<size_t>(y)] * channels_, count, channels_, false,
                     pixels + pixel * channels_);
}

void normalise_position_grid(Context& context, PositionGrid& grid, float strength) {
  Arena::Scope scope(context.arena);
  const auto sums = context.arena.take<float>(static_cast<size_t>(grid.width * grid.height));
  std::fill(sums.begin(), sums.end(), 1.0f);
  PositionFilter filter(context, grid, 1);
  filter.filter(sums.data());
  context.pool.split(grid.height, 16, [&](int64_t begin, int64_t end) {
    for (int64_t y = begin; y < end; ++y) {
      filter.slice(0, y, grid.width, sums.data());
      ops::normalise_weights(sums.data() + y * grid.width, grid.width, 3, strength, grid.weight.data() + y * grid.width * 3);
    }
  });
}

}  // namespace clip_es
