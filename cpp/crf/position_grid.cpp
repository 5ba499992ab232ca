#include "crf/position_grid.h"

#include <algorithm>
#include <atomic>
#include <cmath>

#include "ops/lattice_key.h"

namespace clip_es {
namespace {

constexpr int64_t kMarginRows = 6, kMarginColumns = 4;  // points read beyond those that exist: the blur reaches 4 rows and 2 columns

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

}  // namespace

bool build_position_grid(HostContext& context, int64_t width, int64_t height, float sigma, PositionGrid& grid) {
  Arena& arena = context.arena;
  const ops::LatticeScale<2> scale;
  const double reach_x = static_cast<double>(width) / sigma * scale.factor[0],
               reach_y = static_cast<double>(height) / sigma * scale.factor[1];
  const double columns = reach_x / 3 + 2 * kMarginColumns + 3, rows = 2 * reach_y + 2 * kMarginRows + 6;
  if (columns * PositionGrid::kRowsPerPixelRow > 65535 || columns * rows > 4.0 * static_cast<double>(width * height) + 4096) return false;
  grid.width = width;
  grid.height = height;
  grid.columns = static_cast<int64_t>(columns);
  grid.columns_per_pixel = static_cast<double>(scale.factor[0]) / (3.0 * static_cast<double>(sigma));
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
  const auto x = arena.take<float>((static_cast<size_t>(width) + ops::kKeyLanes - 1) / ops::kKeyLanes * ops::kKeyLanes);
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
      ops::find_triangles(x.data() + begin, y, (count + ops::kKeyLanes - 1) / ops::kKeyLanes * ops::kKeyLanes, first, last, weight);
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

}  // namespace clip_es
