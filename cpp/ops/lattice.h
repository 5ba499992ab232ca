// The inner loops of filtering on a permutohedral lattice: splat, blur, slice (Adams, Baek and Davis 2010, section 3). A value is
// `channels` floats that stand together; channels is 1, 2 or a multiple of 4 (padded_channels). One thread each: callers share.
#pragma once
#include <cstdint>
#include <span>

namespace clip_es::ops {

// Always inlined, because kernels use it: no copy that was compiled for a newer CPU may reach the linker.
[[gnu::always_inline]] constexpr int64_t padded_channels(int64_t channels) { return channels <= 2 ? channels : (channels + 3) / 4 * 4; }

// Where pixels lie: (pixels, corners) each. A slot is a lattice point's number within a tile of the image.
struct LatticeCorners {
  const uint16_t* slot;
  const float* weight;
  int64_t corners;  // 3 or 6
  LatticeCorners from(int64_t pixel) const { return {slot + pixel * corners, weight + pixel * corners, corners}; }
};

// slots[slot of corner] += weight * pixels, for every corner of every pixel. pixels (count, channels). With 3 corners, what lies `ahead`
// pixels on is asked for on the way: the next row, which no processor guesses.
void lattice_splat(const LatticeCorners&, const float* pixels, int64_t count, int64_t channels, float* slots, int64_t ahead = 0);
// pixels = sum over the corners of weight * slots[slot of corner]; with `add`, on top of what stands there.
void lattice_slice(const LatticeCorners&, const float* slots, int64_t count, int64_t channels, bool add, float* pixels);

// slots[s] = points[point[s]]
void lattice_fetch(const float* points, std::span<const uint32_t> point, int64_t channels, float* slots);
// points[p] = the sum of the slots that are its sources: sources (count) point after point, kLinked set on each but a point's last.
constexpr uint32_t kLinked = 0x80000000u;
void lattice_gather(const float* slots, const uint32_t* sources, int64_t count, int64_t channels, float* points);

struct LatticeNeighbours {
  uint32_t before, after;  // along an axis: where their values stand
};
// out[p] = here[p] + (values[before of p] + values[after of p]) / 2
void lattice_blur(const float* here, const float* values, const LatticeNeighbours* neighbours, int64_t count, int64_t channels, float* out);

// out = here + (before + after) / 2
void lattice_blur_row(const float* here, const float* before, const float* after, int64_t count, float* out);

// to = from, past the caches where the processor can: for what is read again only when everything else has been. Other threads may read it
// once finish_streams() has returned in this one.
void stream_values(const float* from, int64_t count, float* to);
// The same, and from = 0.
void stream_out(float* from, int64_t count, float* to);
void finish_streams();

// weight (count, corners) *= sqrt(strength alpha / (alpha sums_i)), alpha = 1 / (1 + 2^-d): the factor by which splat, blur and slice
// overshoot. sums (count): what they make of ones.
void normalise_weights(const float* sums, int64_t count, int64_t corners, float strength, float* weight);

}  // namespace clip_es::ops
