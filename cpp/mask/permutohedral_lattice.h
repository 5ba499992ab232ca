// The permutohedral lattice (Adams, Baek and Davis 2010) of an image's pixels: a Gaussian blur in 2 dimensions (position) or 5
// (position and colour) as splat, blur, slice. Every pixel lies in a simplex of d + 1 lattice points; only points that some pixel
// touches exist. Scales and order of the axes are those of Krähenbühl and Koltun's code, which the results of others come from.
#pragma once
#include <cstdint>
#include <span>

#include "core/context.h"
#include "ops/lattice.h"

namespace clip_es {

// The image is cut into tiles, and each tile numbers the lattice points it touches for itself: its pixels then work in the
// cache on 16-bit numbers, and tiles are what threads share. Pixels are kept in the order of tiles, row by row within each.
constexpr int64_t kTileSide = 64;  // 6 corners * 64 * 64 pixels < 2^16

struct Tile {
  int64_t x, y, width, height;
  int64_t first_pixel;
  int64_t pixels() const { return width * height; }
  int64_t pixel(int64_t row) const { return first_pixel + (row - y) * width; }  // where the photo's row begins
};
std::span<Tile> cut_into_tiles(Arena&, int64_t width, int64_t height);

struct LatticeFeatures {
  float position_sigma;
  float colour_sigma = 0;         // 0: position alone
  const uint8_t* rgb = nullptr;   // (height, width, 3)
  const float* levels = nullptr;  // (3, 256): a feature of each byte, before the division by colour_sigma
  int channel[3] = {0, 1, 2};     // of rgb, in the order of the features
};

struct Lattice {
  int64_t corners = 0;              // d + 1
  int64_t vertices = 0;             // lattice points that exist
  std::span<uint16_t> slot;         // (pixels, corners)
  std::span<float> weight;          // (pixels, corners): barycentric, times what scale_weights() multiplied in
  std::span<uint32_t> vertex_of;    // (slots): tile after tile
  std::span<int64_t> first_slot;    // (tiles + 1): where in vertex_of the tile begins
  std::span<uint32_t> slots_begin;  // (vertices + 1) and (slots): the slots of each vertex, ascending. Empty for a pool of one
  std::span<uint32_t> slots_of;
  struct Axis {
    std::span<uint32_t> entries;  // chains of neighbours, see ops::kLinked
    std::span<int64_t> part;      // where the entries may be cut: first of each part, and the end
  };
  Axis axes[6];

  int64_t slots(size_t tile) const { return first_slot[tile + 1] - first_slot[tile]; }
  ops::LatticeCorners corners_at(int64_t pixel) const { return {slot.data() + pixel * corners, weight.data() + pixel * corners, corners}; }
};

// Everything is taken from the context's arena and lives as long as the caller's scope. Throws Error kInvalidArg where a sigma is so
// small against the image that the lattice's coordinates do not fit.
Lattice build_lattice(Context&, std::span<const Tile> tiles, int64_t width, int64_t height, const LatticeFeatures&);

// The blur along all axes, in place: vertices (lattice.vertices, channels).
void blur_lattice(Context&, const Lattice&, int64_t channels, float* vertices);

// Gives the weights the factor sqrt(strength) / sqrt(the filter's answer to ones at the pixel), so that slice(blur(splat)) is the
// symmetrically normalised filter times `strength`.
void normalise_lattice(Context&, std::span<const Tile> tiles, int64_t width, Lattice&, float strength);

}  // namespace clip_es
