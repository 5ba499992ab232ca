// The permutohedral lattice in 2 dimensions, kept as the plane of triangles it is: for the kernel of position alone nearly every lattice
// point near the photo is touched, so rows and columns replace keys and neighbours stand at fixed distances. Same points, weights
// and blur as PermutohedralLattice has in 2 dimensions.
#pragma once
#include <cstdint>
#include <span>

#include "core/context.h"
#include "ops/lattice.h"

namespace clip_es {

struct PositionGrid {
  static constexpr int64_t kRowsPerPixelRow = 6;  // a photo row's corners lie in no more

  int64_t width = 0, height = 0;  // of the photo
  int64_t rows = 0, columns = 0;  // of lattice points
  double columns_per_pixel = 0;
  std::span<uint16_t> slot;        // (height * width, 3): the corners' points, counted from the photo row's base
  std::span<float> weight;         // (height * width, 3)
  std::span<int64_t> base;         // (height)
  std::span<int32_t> first, last;  // (rows): the columns of the points that exist
  std::span<int32_t> holes;        // columns in between of points that do not: rounding leaves a few at the photo's edges
  std::span<int32_t> holes_begin;  // (rows + 1): where in holes a row begins
  struct Steps {
    int64_t before[3], after[3];  // from a point to its neighbours along each axis
  };
  std::span<Steps> steps;  // (rows)

  int64_t points() const { return rows * columns; }
  ops::LatticeCorners corners_at(int64_t pixel) const { return {slot.data() + pixel * 3, weight.data() + pixel * 3, 3}; }
};

// False where many points are missing between others (sigma below about 0.9) or a row is too long: the hashed lattice serves then.
// Everything is taken from the context's arena and lives as long as the caller's scope.
bool build_position_grid(HostContext&, int64_t width, int64_t height, float sigma, PositionGrid&);

}  // namespace clip_es
