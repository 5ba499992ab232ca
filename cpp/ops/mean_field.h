// The steps of mean-field inference that compute each pixel on its own (Krähenbühl and Koltun 2011, algorithm 1). Channels are as in
// ops/lattice.h. All functions run on the calling thread.
#pragma once
#include <cstdint>

namespace clip_es::ops {

// logs (count) = log(score clipped to [smallest, 1]). Returns false if a score is negative, infinite or not a number.
bool log_scores(const float* scores, int64_t count, float smallest, float* logs);

// Marginals are stored as their excess over 1 / labels. This changes no result, because a term that all labels share changes no marginal.
// If all scores of all pixels are equal, every excess is exactly 0 in every round. The excesses of a pixel sum to 0, so the last label's is
// not stored: its message is minus the sum of the other messages. With scores relative to the last label,
//   q_l ~ exp(unary_l + message_l + sum of the messages) for l < labels - 1, and q_last ~ exp(0);
// message becomes q - 1 / labels.
// unary (labels - 1, count): relative to the last label's. message (count, padded_channels(labels - 1)): the padding must be 0 and stays 0.
// labels <= kMostLabels.
constexpr int64_t kMostLabels = 255;
void mean_field_update(const float* unary, int64_t labels, int64_t count, float* message);

// Turns excesses into marginals (labels, count); the marginals of one label are `step` floats after those of the label before.
void marginals_of(const float* excess, int64_t labels, int64_t count, float* marginals, int64_t step);

}  // namespace clip_es::ops
