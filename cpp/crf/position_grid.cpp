#include "crf/position_grid.h"

#include <algorithm>
#include <atomic>
#include <cmath>

#include "ops/lattice_key.h"

namespace clip_es::crf {
namespace {

// The margins around the points that pixels touch. The blur reads up to 4 rows and 2 columns of them.
constexpr int64_t kMarginRows = 6, kMarginColumns = 4;

int64_t floor_div(int64_t a, int64_t b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }

// The three coordinates of a point sum to 0, so the first and the last one identify it. Row = kMarginRows - last coordinate. The points of
// a row have the same remainder modulo 3, so their first coordinates are 3 apart: column = quotient of the first coordinate -
// first_quotient(row).
struct Geometry {
  static int64_t last_of(int64_t row) { return kMarginRows - row; }
  static int64_t remainder(int64_t coordinate) { return coordinate - 3 * floor_div(coordinate, 3); }
  // The quotient by 3 of the first coordinate in column 0. Rows begin at the left edge of the photo minus the margin.
  static int64_t first_quotient(int64_t row) {
    const int64_t last = last_of(row);
    return floor_div(-last - 2 * remainder(last), 6) - kMarginColumns;
  }
  // The distance in the grid from a point of `row` to the point whose first and last coordinates are greater by `first` and `last`.
  static int64_t step(int64_t row, int64_t columns, int64_t first, int64_t last) {
    const int64_t from = remainder(last_of(row)), to_row = row - last, to = remainder(last_of(to_row));
    return (to_row - row) * columns + (from + first - to) / 3 + first_quotient(row) - first_quotient(to_row);
  }
};

class GridBuilder {
 public:
  GridBuilder(HostContext& context, int64_t width, int64_t height, float sigma, PositionGrid& grid)
      : context_(context), arena_(context.arena), sigma_(sigma), grid_(grid) {
    grid.width = width;
    grid.height = height;
  }

  bool build() {
    if (!choose_size()) return false;
    take_memory();
    find_steps();
    context_.pool.split(grid_.height, 16, [&](int64_t begin, int64_t end) {
      for (int64_t y = begin; y < end; ++y) place_row(y);
    });
    return find_holes();
  }

 private:
  // False if a slot would not fit in 16 bits, or if the grid would have many more points than the photo has pixels.
  bool choose_size() {
    const double reach_x = static_cast<double>(grid_.width) / sigma_ * scale_.factor[0];
    const double reach_y = static_cast<double>(grid_.height) / sigma_ * scale_.factor[1];
    const double columns = reach_x / 3 + 2 * kMarginColumns + 3, rows = 2 * reach_y + 2 * kMarginRows + 6;
    const auto pixels = static_cast<double>(grid_.width * grid_.height);
    if (columns * PositionGrid::kRowsPerPixelRow > 65535 || columns * rows > 4 * pixels + 4096) return false;
    grid_.columns = static_cast<int64_t>(columns);
    grid_.rows = static_cast<int64_t>(rows);
    grid_.columns_per_pixel = static_cast<double>(scale_.factor[0]) / (3.0 * sigma_);
    return true;
  }

  void take_memory() {
    const auto pixels = static_cast<size_t>(grid_.width * grid_.height), rows = static_cast<size_t>(grid_.rows);
    grid_.slot = arena_.take<uint16_t>(pixels * 3);
    grid_.weight = arena_.take<float>(pixels * 3);
    grid_.base = arena_.take<int64_t>(grid_.height);
    grid_.first = arena_.take<int32_t>(rows);
    grid_.last = arena_.take<int32_t>(rows);
    grid_.steps = arena_.take<PositionGrid::Steps>(rows);
    first_quotient_ = arena_.take<int32_t>(rows);
    touched_ = arena_.take<uint8_t>(grid_.points());
    std::fill(touched_.begin(), touched_.end(), uint8_t{0});
    x_ = arena_.take<float>(whole_lanes(grid_.width));
    for (size_t i = 0; i < x_.size(); ++i) x_[i] = static_cast<float>(i) / sigma_ * scale_.factor[0];
  }

  void find_steps() {
    constexpr int64_t kChange[3][2] = {{2, -1}, {-1, -1}, {-1, 2}};  // of the first and the last coordinate, by one step along each axis
    for (size_t r = 0; r < grid_.steps.size(); ++r) {
      const int64_t row = r;
      first_quotient_[r] = static_cast<int32_t>(Geometry::first_quotient(row));
      for (int axis = 0; axis < 3; ++axis) {
        grid_.steps[r].after[axis] = Geometry::step(row, grid_.columns, kChange[axis][0], kChange[axis][1]);
        grid_.steps[r].before[axis] = Geometry::step(row, grid_.columns, -kChange[axis][0], -kChange[axis][1]);
      }
    }
  }

  // The corners of the photo's row y.
  void place_row(int64_t y) {
    const float scaled_y = static_cast<float>(y) / sigma_ * scale_.factor[1];
    // The last coordinates of the corners are within 3 of the pixel's own, which is -2 scaled_y.
    const int64_t low = std::max<int64_t>(static_cast<int64_t>(std::floor(2 * scaled_y)) - 2 + kMarginRows, 0);
    grid_.base[y] = low * grid_.columns;
    constexpr int64_t kBlock = 64;
    for (int64_t begin = 0; begin < grid_.width; begin += kBlock) {
      const int64_t count = std::min(kBlock, grid_.width - begin);
      int32_t quotient[3 * kBlock], last[3 * kBlock];
      float weight[3 * kBlock];
      ops::find_triangles(x_.data() + begin, scaled_y, whole_lanes(count), quotient, last, weight);
      const size_t at = static_cast<size_t>((y * grid_.width + begin) * 3);
      for (int64_t i = 0; i < count * 3; ++i) {
        const int64_t row = kMarginRows - last[i];
        const int64_t slot = (row - low) * grid_.columns + quotient[i] - first_quotient_[row];
        grid_.slot[at + static_cast<size_t>(i)] = static_cast<uint16_t>(slot);
        grid_.weight[at + static_cast<size_t>(i)] = weight[i];
        // Threads may touch the same point.
        std::atomic_ref(touched_[low * grid_.columns + slot]).store(1, std::memory_order_relaxed);
      }
    }
  }

  // False if there are too many holes for a list.
  bool find_holes() {
    const size_t most_holes = grid_.points() / 64;
    grid_.holes = arena_.take<int32_t>(most_holes);
    grid_.holes_begin = arena_.take<int32_t>(grid_.steps.size() + 1);
    size_t holes = 0;
    for (size_t r = 0; r < grid_.steps.size(); ++r) {
      const auto begin = touched_.begin() + static_cast<int64_t>(r) * grid_.columns, end = begin + grid_.columns;
      const auto low = std::find(begin, end, uint8_t{1});
      auto high = end;
      while (high != low && high[-1] == 0) --high;
      grid_.first[r] = static_cast<int32_t>(low == end ? 0 : low - begin);
      grid_.last[r] = static_cast<int32_t>(low == end ? 0 : high - begin);
      grid_.holes_begin[r] = static_cast<int32_t>(holes);
      for (auto hole = std::find(low, high, uint8_t{0}); hole != high; hole = std::find(hole + 1, high, uint8_t{0})) {
        if (holes == most_holes) return false;
        grid_.holes[holes++] = static_cast<int32_t>(hole - begin);
      }
    }
    grid_.holes_begin[grid_.steps.size()] = static_cast<int32_t>(holes);
    return true;
  }

  static int64_t whole_lanes(int64_t count) { return (count + ops::kKeyLanes - 1) / ops::kKeyLanes * ops::kKeyLanes; }

  HostContext& context_;
  Arena& arena_;
  float sigma_;
  PositionGrid& grid_;
  const ops::LatticeScale<2> scale_;
  std::span<int32_t> first_quotient_;  // (rows)
  std::span<uint8_t> touched_;         // (points): 1 if a pixel touches the point
  std::span<float> x_;                 // (width, padded to whole lanes): scaled
};

}  // namespace

bool build_position_grid(HostContext& context, int64_t width, int64_t height, float sigma, PositionGrid& grid) {
  return GridBuilder(context, width, height, sigma, grid).build();
}

}  // namespace clip_es::crf
