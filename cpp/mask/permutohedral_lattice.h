// The permutohedral lattice (Adams, Baek and Davis 2010) of an image's pixels: a Gaussian blur in 2 dimensions (position) or 5
// (position and colour) as splat, blur, slice. Every pixel lies in a simplex of d + 1 lattice points; only points that some pixel
// touches exist. Scales and order of the axes are those of Krähenbühl and Koltun's code, which the results of others come from.
#pragma once
#include <cstdint>
#include <span>

#include "core/context.h"
#include "mask/tiles.h"
#include "ops/lattice.h"

namespace clip_es {

struct LatticeFeatures {
  float position_sigma;
  float colour_sigma = 0;         // 0: position alone
  const uint8_t* rgb = nullptr;   // (height, width, 3)
  const float* levels = nullptr;  // (3, 256): a feature of each byte, before the division by colour_sigma
  int channel[3] = {0, 1, 2};     // of rgb, in the order of the features
};

// Each tile numbers the points it touches for itself, in 16 bits: these numbers are its slots. A point's owner is the first tile that
// touches it; the slots of other tiles are its guests.
struct Lattice {
  int64_t corners = 0;            // d + 1
  int64_t points = 0;             // that exist, numbered so that neighbours are near
  std::span<uint16_t> slot;       // (pixels, corners), the pixels in the order of tiles
  std::span<float> weight;        // (pixels, corners): barycentric, times what normalise_lattice() multiplied in
  std::span<int64_t> first_slot;  // (tiles + 1): where in point_of the tile begins
  std::span<uint32_t> point_of;   // (slots): tile after tile
  std::span<uint32_t> home;       // (slots): the point where the tile owns it; `points` and on for guests
  std::span<uint32_t> guests;     // the guests' points: ascending, and in the order of tiles for each
  struct Axis {
    std::span<uint32_t> entries;  // chains of neighbours, see ops::kLinked
    std::span<int64_t> part;      // where the entries may be cut: first of each part, and the end
  };
  Axis axes[6];

  int64_t slots(size_t tile) const { return first_slot[tile + 1] - first_slot[tile]; }
  ops::LatticeCorners corners_at(int64_t pixel) const { return ops::LatticeCorners{slot.data(), weight.data(), corners}.from(pixel); }
};

// Everything is taken from the context's arena and lives as long as the caller's scope. Throws Error kInvalidArg where a sigma is so
// small against the image that the lattice's coordinates do not fit.
Lattice build_lattice(Context&, std::span<const Tile>, int64_t width, int64_t height, const LatticeFeatures&);

// Gives the weights the factor sqrt(strength) / sqrt(the filter's answer to ones at the pixel), so that slice(blur(splat)) is the
// symmetrically normalised filter times `strength`.
void normalise_lattice(Context&, std::span<const Tile>, int64_t width, Lattice&, float strength);

// The values on a lattice: splat every tile, blur, slice every tile, any number of times; tiles in any order and by any thread, and a
// tile's next splat may follow its slice at once. A point sums its tiles in their order, so nothing depends on the threads.
// pixels: (height, width, channels).
class LatticeFilter {
 public:
  // Takes its memory from the context's arena. The lattice and the tiles must outlive it.
  LatticeFilter(Context&, const Lattice&, std::span<const Tile>, int64_t width, int64_t channels);

  void splat(int64_t tile, int worker, const float* pixels);
  void blur();
  void slice(int64_t tile, int worker, bool add, float* pixels) const;

 private:
  float* scratch(int worker) const { return slots_.data() + worker * largest_tile_ * channels_; }

  Context& context_;
  const Lattice& lattice_;
  std::span<const Tile> tiles_;
  int64_t width_, channels_;
  int64_t largest_tile_ = 0;             // in slots
  std::span<float> splatted_, blurred_;  // (points, channels)
  std::span<float> guests_;              // (guests, channels): splatted by tiles that do not own the point
  std::span<float> slots_;               // (workers, largest_tile_, channels)
};

}  // namespace clip_es
