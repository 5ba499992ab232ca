// The permutohedral lattice (Adams, Baek and Davis 2010) of an image's pixels: a Gaussian blur in 2 dimensions (position) or 5
// (position and colour) as splat, blur, slice. Every pixel lies in a simplex of d + 1 lattice points; only points that some pixel
// touches exist. Scales and order of the axes are those of Krähenbühl and Koltun's code, which the results of others come from.
#pragma once
#include <cstdint>
#include <span>
#include <utility>

#include "core/context.h"
#include "crf/tiles.h"
#include "ops/lattice.h"

namespace clip_es {

struct LatticeFeatures {
  float position_sigma;
  float colour_sigma = 0;         // 0: position alone
  const uint8_t* rgb = nullptr;   // (height, width, 3)
  const float* levels = nullptr;  // (3, 256): a feature of each byte, before the division by colour_sigma
  int channel[3] = {0, 1, 2};     // of rgb, in the order of the features
};

// Each tile numbers the points it touches for itself, in 16 bits and layer by layer: these numbers are its slots. Points are numbered layer
// by layer (ops::KeyLayout): a point's neighbours are in its layer's neighbours, so that the blur along all axes goes over the layers once,
// and what it holds of them in between is a ring of few.
struct Lattice {
  int64_t corners = 0;                              // d + 1
  int64_t points = 0;                               // that exist
  std::span<uint16_t> slot;                         // (pixels, corners), the pixels in the order of tiles
  std::span<float> weight;                          // (pixels, corners): barycentric, times what normalise_lattice() multiplied in
  std::span<int64_t> first_slot;                    // (tiles + 1): where in point_of the tile begins
  std::span<uint32_t> point_of;                     // (slots): tile after tile
  std::span<uint32_t> sources;                      // (slots): those of each point, in the order of tiles; see ops::lattice_gather()
  std::span<uint32_t> first_point, first_source;    // (layers + 1)
  std::span<uint32_t> place;                        // (layers): in the ring
  int64_t ring = 0;                                 // points; behind them stands a 0 for neighbours that do not exist
  int64_t reach = 1;                                // layers from a point to its neighbours, at most
  std::span<ops::LatticeNeighbours> neighbours[6];  // (points), as places in the ring

  int64_t layers() const { return static_cast<int64_t>(place.size()); }
  int64_t slots(size_t tile) const { return first_slot[tile + 1] - first_slot[tile]; }
  ops::LatticeCorners corners_at(int64_t pixel) const { return ops::LatticeCorners{slot.data(), weight.data(), corners}.from(pixel); }
};

// Everything is taken from the context's arena and lives as long as the caller's scope. Throws Error kInvalidArg where a sigma is so
// small against the image that the lattice's coordinates do not fit.
Lattice build_lattice(HostContext&, std::span<const Tile>, int64_t width, int64_t height, const LatticeFeatures&);

// Gives the weights the factor sqrt(strength) / sqrt(the filter's answer to ones at the pixel), so that slice(blur(splat)) is the
// symmetrically normalised filter times `strength`.
void normalise_lattice(HostContext&, std::span<const Tile>, int64_t width, Lattice&, float strength);

// The values on a lattice: splat every tile row by row, blur, slice every tile row by row, any number of times; tiles in any order and by
// any thread, and a row's next splat may follow its slice at once. What a tile touches is kept by the worker while it is at it. A point
// sums its tiles in their order, so nothing depends on the threads. row: (tile.width, channels), of the photo's row y.
class LatticeFilter {
 public:
  // Takes its memory from the context's arena. The lattice and the tiles must outlive it.
  LatticeFilter(HostContext&, const Lattice&, std::span<const Tile>, int64_t channels);

  void splat(int64_t tile, int64_t y, int worker, const float* row);
  void end_splat(int64_t tile, int worker);
  // When all tiles have been splatted.
  void blur();
  void begin_slice(int64_t tile, int worker);
  void slice(int64_t tile, int64_t y, int worker, bool add, float* row) const;

 private:
  void blur_layers(int64_t begin, int64_t end, float* const rings[2]);

  HostContext& context_;
  const Lattice& lattice_;
  std::span<const Tile> tiles_;
  int64_t channels_;
  int64_t largest_tile_ = 0;   // in slots
  int64_t shares_;             // that blur() is cut into
  std::span<float> slots_;     // (slots, channels): splatted
  std::span<float> points_;    // (points, channels): blurred
  std::span<float> rings_;     // (shares, 2, ring + 1, channels)
  std::span<float> splatted_;  // (workers, largest_tile_, channels): 0 between tiles
  std::span<float> blurred_;   // (workers, largest_tile_, channels)
};

}  // namespace clip_es
