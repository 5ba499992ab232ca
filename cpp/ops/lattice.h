// The inner loops of filtering on a permutohedral lattice. A value is `channels` floats that stand together; channels is 1, 2 or a
// multiple of 4 (padded_channels). A pixel lies among `corners` lattice points, each with a weight. One thread each: callers share.
#pragma once
#include <cstdint>

namespace clip_es::ops {

constexpr int64_t padded_channels(int64_t channels) { return channels <= 2 ? channels : (channels + 3) / 4 * 4; }

// Where the pixels of one tile lie: (pixels, corners) each. A slot is a lattice point's number within the tile.
struct LatticeCorners {
  const uint16_t* slot;
  const float* weight;
  int64_t corners;  // 3 or 6
};

// slots[slot of corner] += weight * pixels, for every corner of every pixel. pixels (count, channels).
void lattice_splat(const LatticeCorners&, const float* pixels, int64_t count, int64_t channels, float* slots);
// The same where every pixel's value is 1, one channel.
void lattice_splat_ones(const LatticeCorners&, int64_t count, float* slots);
// pixels = sum over the corners of weight * slots[slot of corner]; with `add`, on top of what stands there.
void lattice_slice(const LatticeCorners&, const float* slots, int64_t count, int64_t channels, bool add, float* pixels);

// slots[s] = vertices[vertex_of[s]]
void lattice_fetch(const float* vertices, const uint32_t* vertex_of, int64_t slots, int64_t channels, float* out);
// vertices[vertex_of[s]] += slots[s]
void lattice_merge(const float* slots, const uint32_t* vertex_of, int64_t count, int64_t channels, float* vertices);
// The same for vertices [begin, end) by themselves: the sum of the slots listed for each, in the list's order.
void lattice_collect(const float* slots, const uint32_t* first, const uint32_t* list, int64_t begin, int64_t end, int64_t channels,
                     float* vertices);

// A chain is a run of neighbours along one axis of the lattice: vertex numbers, kLinked set on each that the next entry continues.
constexpr uint32_t kLinked = 0x80000000u;
// v_i = v_i + (v_before + v_after) / 2 along every chain of entries, in place. The entries begin and end with whole chains.
void lattice_blur(const uint32_t* entries, int64_t count, int64_t channels, float* vertices);

// out = here + (before + after) / 2
void lattice_blur_row(const float* here, const float* before, const float* after, int64_t count, float* out);

// weight (count, corners) *= sqrt(strength alpha / (alpha sums_i)), alpha = 1 / (1 + 2^-d): the factor by which splat, blur and slice
// overshoot. sums (count): what they make of ones.
void normalise_weights(const float* sums, int64_t count, int64_t corners, float strength, float* weight);

// logs (count) = log(scores), which are positive. logs may be scores.
void log_scores(const float* scores, int64_t count, float* logs);

// The mean-field update of `count` pixels (Krähenbühl and Koltun 2011, algorithm 1) of `labels` labels. Marginals are kept as excess over
// 1 / labels: what all labels have in common changes no marginal, and equal labels stay equal to the last bit however many rounds
// there are. Excesses sum to 0, so the last label's need not be kept, and its message is less the sum of the others':
//   q_l ~ exp(unary_l + message_l + sum of the messages), l < labels - 1;  q_last ~ exp(0);  message becomes q - 1 / labels.
// Both (count, channels) with channels = padded_channels(labels - 1), unary relative to the last label's. In the padding unary is kNoLabel,
// message 0 and stays so.
constexpr float kNoLabel = -1e30f;
void mean_field_update(const float* unary, int64_t labels, int64_t count, float* message);

}  // namespace clip_es::ops
