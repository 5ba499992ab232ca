// The steps of mean-field inference that look at one pixel (Krähenbühl and Koltun 2011, algorithm 1). Channels as in ops/lattice.h.
#pragma once
#include <cstdint>

namespace clip_es::ops {

// logs (count) = log(score clipped to [smallest, 1]). False if a score is negative, infinite or not a number.
bool log_scores(const float* scores, int64_t count, float smallest, float* logs);

// Marginals are kept as excess over 1 / labels: what all labels have in common changes no marginal, and equal labels stay equal to the
// last bit however many rounds there are. Excesses sum to 0, so the last label's need not be kept, and its message is less the sum of
// the others':
//   q_l ~ exp(unary_l + message_l + sum of the messages), l < labels - 1;  q_last ~ exp(0);  message becomes q - 1 / labels.
// unary (labels - 1, count), relative to the last label's; message (count, padded_channels(labels - 1)), 0 in the padding, which stays so.
// At most kMostLabels.
constexpr int64_t kMostLabels = 255;
void mean_field_update(const float* unary, int64_t labels, int64_t count, float* message);

// marginals (labels, count), a label's `step` behind those of the label before, from such excesses.
void marginals_of(const float* excess, int64_t labels, int64_t count, float* marginals, int64_t step);

}  // namespace clip_es::ops
