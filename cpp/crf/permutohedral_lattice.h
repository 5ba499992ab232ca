// Internal to cpp/crf. The permutohedral lattice (Adams, Baek and Davis 2010): a Gaussian blur of the photo's pixels in 2 dimensions
// (position) or 5 (position and colour). Each pixel lies in a simplex of d + 1 lattice points; only points that a pixel touches exist.
// The scales and the order of the axes are those of Krähenbühl and Koltun's code, so that results agree with other programs'.
#pragma once
#include <cstdint>
#include <span>
#include <utility>

#include "core/context.h"
#include "crf/tiles.h"
#include "ops/lattice.h"

namespace clip_es::crf {

struct LatticeFeatures {
  float position_sigma;
  float colour_sigma = 0;         // not used in 2 dimensions
  const uint8_t* rgb = nullptr;   // (height, width, 3); null: 2 dimensions
  const float* levels = nullptr;  // (3, 256): the feature of each byte of R, G and B, before the division by colour_sigma
  int channel[3] = {0, 1, 2};     // which of R, G and B is the first, second and third colour feature
};

// A slot is a lattice point as one tile numbers it, in 16 bits; points that several tiles touch have a slot in each. Slots and points are
// both numbered layer by layer (ops::KeyLayout::layer). The neighbours of a point lie in nearby layers, so the blur along all axes visits
// the layers once and keeps a few of them in a ring buffer.
struct Lattice {
  int64_t corners = 0;                            // d + 1
  int64_t points = 0;                             // how many exist
  std::span<uint16_t> slot;                       // (pixels, corners), kept by tiles
  std::span<float> weight;                        // (pixels, corners): barycentric, then multiplied by normalise_lattice()
  std::span<int64_t> first_slot;                  // (tiles + 1): first index of each tile in point_of
  std::span<uint32_t> point_of;                   // (slots), one tile after the other
  std::span<uint32_t> sources;                    // (slots): the slots of each point, in the order of tiles; see ops::lattice_gather()
  std::span<uint32_t> first_point, first_source;  // (layers + 1): first index of each layer in points and in sources
  std::span<uint32_t> place;                      // (layers): first index in the ring
  int64_t ring = 0;   // the ring's length in points; one more value, a 0, stands for neighbours that do not exist
  int64_t reach = 1;  // the largest distance in layers between neighbours
  std::span<ops::LatticeNeighbours> neighbours[6];  // (points) for each axis, as indices in the ring

  int64_t layers() const { return std::ssize(place); }
  int64_t slots(size_t tile) const { return first_slot[tile + 1] - first_slot[tile]; }
  ops::LatticeCorners corners_at(int64_t pixel) const { return ops::LatticeCorners{slot.data(), weight.data(), corners}.from(pixel); }
};

// The memory comes from the context's arena and lives until the caller's scope ends. The result does not depend on the number of threads.
// Throws Error kInvalidArg if a sigma is so small for the photo that the lattice's coordinates do not fit in a key.
Lattice build_lattice(HostContext&, std::span<const ImageTile>, int64_t width, int64_t height, const LatticeFeatures&);

// Multiplies the weights by sqrt(strength) / sqrt(the filter's answer to an image of ones), so that slice(blur(splat)) is the symmetrically
// normalised filter times `strength`.
void normalise_lattice(HostContext&, std::span<const ImageTile>, int64_t width, Lattice&, float strength);

// Filters values on a lattice. The order of calls, which can be repeated: for each tile splat() for all rows and end_splat(); blur(); for
// each tile begin_slice() and slice() for all rows. Tiles may come in any order and from any thread, and a row may be splatted again right
// after it was sliced. Each worker has its own buffer for its current tile. A point adds up its tiles in their order, so results do not
// depend on the threads. row: (tile.width, channels), of the photo's row y.
class LatticeFilter {
 public:
  // The memory comes from the context's arena. The lattice and the tiles must outlive the filter.
  LatticeFilter(HostContext&, const Lattice&, std::span<const ImageTile>, int64_t channels);

  void splat(int64_t tile, int64_t y, int worker, const float* row);
  void end_splat(int64_t tile, int worker);
  // Call it after all tiles were splatted. It uses all threads.
  void blur();
  void begin_slice(int64_t tile, int worker);
  // Writes the row, or adds to it.
  void slice(int64_t tile, int64_t y, int worker, bool add, float* row) const;

 private:
  void blur_layers(int64_t begin, int64_t end, float* const rings[2]);

  HostContext& context_;
  const Lattice& lattice_;
  std::span<const ImageTile> tiles_;
  int64_t channels_;
  int64_t largest_tile_ = 0;   // in slots
  int64_t shares_;             // into how many parts blur() divides the layers
  std::span<float> slots_;     // (slots, channels): splatted
  std::span<float> points_;    // (points, channels): blurred
  std::span<float> rings_;     // (shares, 2, ring + 1, channels)
  std::span<float> splatted_;  // (workers, largest_tile_, channels): the worker's current tile; 0 between tiles
  std::span<float> blurred_;   // (workers, largest_tile_, channels): the worker's current tile
};

}  // namespace clip_es::crf
