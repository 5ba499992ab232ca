// Internal to cpp/crf. The permutohedral lattice in 2 dimensions, for the kernel of position, as a dense grid. Nearly every lattice point
// near the photo is touched, so the grid stores all of them: rows and columns replace hash keys, and neighbours are at fixed distances.
// Points, weights and blur are the same as those of Lattice in 2 dimensions.
#pragma once
#include <cstdint>
#include <span>

#include "core/context.h"
#include "ops/lattice.h"

namespace clip_es::crf {

struct PositionGrid {
  static constexpr int64_t kRowsPerPixelRow = 6;  // the corners of one row of pixels lie in at most so many rows of points

  int64_t width = 0, height = 0;  // of the photo
  int64_t rows = 0, columns = 0;  // of lattice points
  double columns_per_pixel = 0;
  std::span<uint16_t> slot;        // (height * width, 3): the corners' points, relative to the base of the pixel's row
  std::span<float> weight;         // (height * width, 3): barycentric, then multiplied by normalise_position_grid()
  std::span<int64_t> base;         // (height): the first point that slot counts from
  std::span<int32_t> first, last;  // (rows): columns [first, last) hold the points that exist, except holes
  std::span<int32_t> holes;        // columns in [first, last) without a point: rounding leaves a few at the edges of the photo
  std::span<int32_t> holes_begin;  // (rows + 1): first index of each row in holes
  struct Steps {
    int64_t before[3], after[3];  // from a point to its neighbours along each axis
  };
  std::span<Steps> steps;  // (rows)

  int64_t points() const { return rows * columns; }
  ops::LatticeCorners corners_at(int64_t pixel) const { return {slot.data() + pixel * 3, weight.data() + pixel * 3, 3}; }
};

// Returns false if a grid cannot be used: for a sigma below about 0.9 many points do not exist, and in a very wide photo a row of points
// is too long for 16 bits. Use build_lattice() in these cases. The memory comes from the context's arena and lives until the caller's scope
// ends.
bool build_position_grid(HostContext&, int64_t width, int64_t height, float sigma, PositionGrid&);

}  // namespace clip_es::crf
