// The loops of filtering on a permutohedral lattice: splat, blur and slice (Adams, Baek and Davis 2010, section 3). A value consists of
// `channels` adjacent floats, where channels is 1, 2 or a multiple of 4 (padded_channels). All functions run on the calling thread.
#pragma once
#include <cstdint>
#include <span>

namespace clip_es::ops {

// Always inlined, because kernels use it: no copy that was compiled for a newer CPU may reach the linker.
[[gnu::always_inline]] constexpr int64_t padded_channels(int64_t channels) { return channels <= 2 ? channels : (channels + 3) / 4 * 4; }

// The corners of the simplex of each pixel: two arrays of (pixels, corners). A slot is the number of a lattice point within an image tile.
struct LatticeCorners {
  const uint16_t* slot;
  const float* weight;
  int64_t corners;  // 3 or 6
  LatticeCorners from(int64_t pixel) const { return {slot + pixel * corners, weight + pixel * corners, corners}; }
};

// slots[slot of corner] += weight * pixel, for every corner of every pixel. pixels (count, channels). With 3 corners, the loop prefetches
// the pixel that is `ahead` pixels further, because the CPU cannot predict where the next row of the tile begins.
void lattice_splat(const LatticeCorners&, const float* pixels, int64_t count, int64_t channels, float* slots, int64_t ahead = 0);
// pixel = sum over its corners of weight * slots[slot of corner]. With `add`, the sum is added to the pixel.
void lattice_slice(const LatticeCorners&, const float* slots, int64_t count, int64_t channels, bool add, float* pixels);

// slots[s] = points[point[s]]
void lattice_fetch(const float* points, std::span<const uint32_t> point, int64_t channels, float* slots);
// points[p] = the sum of the slots that are its sources. sources (count): slot numbers, point after point; kLinked is set on each source
// except a point's last.
constexpr uint32_t kLinked = 0x80000000u;
void lattice_gather(const float* slots, const uint32_t* sources, int64_t count, int64_t channels, float* points);

struct LatticeNeighbours {
  uint32_t before, after;  // indices of the neighbours along one axis
};
// out[p] = here[p] + (values[before of p] + values[after of p]) / 2
void lattice_blur(const float* here, const float* values, const LatticeNeighbours* neighbours, int64_t count, int64_t channels, float* out);

// out = here + (before + after) / 2
void lattice_blur_row(const float* here, const float* before, const float* after, int64_t count, float* out);

// to = from. On x86 it bypasses the caches, so use it for values that are not read again soon. Another thread may read them only after this
// thread has called finish_streams().
void stream_values(const float* from, int64_t count, float* to);
// The same, but also sets `from` to 0.
void stream_out(float* from, int64_t count, float* to);
void finish_streams();

// weight (count, corners) *= sqrt(strength * alpha / (alpha * sums_i)). sums (count): the result of splat, blur and slice for pixels that
// are all 1. alpha = 1 / (1 + 2^-d), d = corners - 1, is the inverse of the gain of splat, blur and slice.
void normalise_weights(const float* sums, int64_t count, int64_t corners, float strength, float* weight);

}  // namespace clip_es::ops
