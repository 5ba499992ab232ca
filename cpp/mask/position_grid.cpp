#include "mask/position_grid.h"

#include <algorithm>
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

// Points may be shared by several blocks of rows; each writes its own rows alone, so that sums do not depend on the blocks.
void splat_rows(const PositionGrid& grid, int64_t channels, const float* pixels, int64_t begin, int64_t end, float* points) {
  std::fill(points + begin * grid.columns * channels, points + end * grid.columns * channels, 0.0f);
  for (int64_t y = 0; y < grid.height; ++y) {
    const int64_t low = grid.base[static_cast<size_t>(y)] / grid.columns;
    if (low + kRowsPerPixelRow <= begin) continue;
    if (low >= end) break;
    float* base = points + grid.base[static_cast<size_t>(y)] * channels;
    const float* row = pixels + y * grid.width * channels;
    if (low >= begin && low + kRowsPerPixelRow <= end) ops::lattice_splat(grid.corners_at(y * grid.width), row, grid.width, channels, base);
    else
      ops::lattice_splat_within(grid.corners_at(y * grid.width), row, grid.width, channels, base, (begin - low) * grid.columns, (end - low) * grid.columns);
  }
}

// Axis after axis, each row as soon as the rows it needs are there: a block's rows stay in the cache from the first axis to the last.
class RowBlur {
 public:
  static constexpr int64_t kRing = 8;
  RowBlur(const PositionGrid& grid, int64_t channels, const float* from, float* ring, float* to)
      : grid_(grid), channels_(channels), from_(from), rings_{ring, ring + kRing * grid.columns * channels}, to_(to) {}

  void run(int64_t begin, int64_t end) {
    for (int64_t row = begin - 3; row < end + 3; ++row) {
      along<0>(row);
      if (row - 1 >= begin - 2) along<1>(row - 1);
      if (row - 3 >= begin) along<2>(row - 3);
    }
  }

 private:
  float* in_ring(int i, int64_t row) { return rings_[i] + (row & (kRing - 1)) * grid_.columns * channels_; }

  template <int Axis>
  void along(int64_t row) {
    const int64_t width = grid_.columns * channels_;
    const auto r = static_cast<size_t>(row);
    const bool inside = row >= 0 && row < grid_.rows;
    const int64_t first = inside ? grid_.first[r] * channels_ : 0, last = inside ? grid_.last[r] * channels_ : 0;
    float* out = Axis == 2 ? to_ + row * width : in_ring(Axis, row);
    if (Axis != 2) {
      std::fill(out, out + first, 0.0f);
      std::fill(out + last, out + width, 0.0f);
    }
    if (first == last) return;
    const auto neighbour = [&](int64_t rows_on, int64_t step) {
      const float* start = Axis == 0 ? from_ + (row + rows_on) * width : in_ring(Axis == 0 ? 0 : Axis - 1, row + rows_on);
      return start + (step - rows_on * grid_.columns) * channels_ + first;
    };
    constexpr int64_t kOn = Axis == 2 ? -2 : 1;
    const PositionGrid::Steps& steps = grid_.steps[r];
    ops::lattice_blur_row(neighbour(0, 0), neighbour(-kOn, steps.before[Axis]), neighbour(kOn, steps.after[Axis]), last - first, out + first);
  }

  const PositionGrid& grid_;
  int64_t channels_;
  const float* from_;
  float* rings_[2];
  float* to_;
};

}  // namespace

bool build_position_grid(Context& context, int64_t width, int64_t height, float sigma, PositionGrid& grid) {
  Arena& arena = context.arena;
  const ops::LatticeScale<2> scale;
  const double reach_x = static_cast<double>(width) / sigma * scale.factor[0], reach_y = static_cast<double>(height) / sigma * scale.factor[1];
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
  for (int64_t row = 0; row < height; ++row) {
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
        touched[static_cast<size_t>(low * grid.columns + slot)] = 1;
      }
    }
  }
  for (size_t r = 0; r < row_count; ++r) {
    const auto begin = touched.begin() + static_cast<int64_t>(r) * grid.columns, end = begin + grid.columns;
    const auto low = std::find(begin, end, uint8_t{1});
    const auto high = std::find(low, end, uint8_t{0});
    grid.first[r] = static_cast<int32_t>(low == end ? 0 : low - begin);
    grid.last[r] = static_cast<int32_t>(low == end ? 0 : high - begin);
    if (std::find(high, end, uint8_t{1}) != end) return false;
  }
  return true;
}

void filter_to_points(Context& context, const PositionGrid& grid, int64_t channels, const float* pixels, float* splatted, float* blurred) {
  context.pool.split(grid.rows, 16, [&](int64_t begin, int64_t end) { splat_rows(grid, channels, pixels, begin, end, splatted); });
  Arena::Scope scope(context.arena);
  const int64_t blocks = std::min<int64_t>(context.pool.size(), (grid.rows + 31) / 32);
  const auto ring_size = static_cast<size_t>(2 * RowBlur::kRing * grid.columns * channels);
  const auto rings = context.arena.take<float>(ring_size * static_cast<size_t>(blocks));
  context.pool.run(blocks, [&](int64_t block, int) {
    const int64_t begin = grid.rows * block / blocks, end = grid.rows * (block + 1) / blocks;
    RowBlur(grid, channels, splatted, rings.data() + static_cast<size_t>(block) * ring_size, blurred).run(begin, end);
  });
}

void normalise_position_grid(Context& context, PositionGrid& grid, float strength) {
  Arena::Scope scope(context.arena);
  const int64_t pixels = grid.width * grid.height;
  const auto values = context.arena.take<float>(static_cast<size_t>(pixels));
  const auto splatted = context.arena.take<float>(static_cast<size_t>(grid.points())), blurred = context.arena.take<float>(static_cast<size_t>(grid.points()));
  std::fill(values.begin(), values.end(), 1.0f);
  filter_to_points(context, grid, 1, values.data(), splatted.data(), blurred.data());
  context.pool.split(grid.height, 16, [&](int64_t begin, int64_t end) {
    for (int64_t y = begin; y < end; ++y) {
      float* sums = values.data() + y * grid.width;
      ops::lattice_slice(grid.corners_at(y * grid.width), blurred.data() + grid.base[static_cast<size_t>(y)], grid.width, 1, false, sums);
      ops::normalise_weights(sums, grid.width, 3, strength, grid.weight.data() + y * grid.width * 3);
    }
  });
}

}  // namespace clip_es
