// Scores of every pixel, and how they become a mask. Maps of several views are averaged here.
#pragma once
#include <cstdint>
#include <span>

#include "core/context.h"
#include "core/image.h"
#include "core/memory.h"
#include "mask/pseudo_mask.h"

namespace clip_es {

struct PixelScores {
  HostSpan<float> data;  // (1 + labels, height, width): the background, then the labels
  int64_t labels;
  PhotoSize size;

  HostSpan<float> background() const { return data.first(size.pixels()); }
  HostSpan<float> all_labels() const { return data.subspan(size.pixels()); }
  HostSpan<float> label(int64_t k) const { return data.subspan((k + 1) * size.pixels(), size.pixels()); }
};

PixelScores take_scores(HostContext&, int64_t labels, const PhotoSize&);  // in the arena, not initialised

// sum += scores. Scores of a mirrored photo are mirrored back first, in place.
void add_scores(HostContext&, const PixelScores&, bool mirrored, const PixelScores& sum);

// Divides all values by `count`. A mean of values in [0, 1] stays there: no sum of n such values is rounded up to more than n.
void divide(HostSpan<float> values, int64_t count);

// Writes the largest score of each label (labels).
void largest_scores(HostContext&, const PixelScores&, HostSpan<float> largest);

// The labels that may get pixels, and the mask's byte for each.
struct KeptLabels {
  PixelScores scores;
  HostSpan<const uint8_t> value;
};

// Keeps the labels whose score is at least min_score. Moves their pixel scores together in place.
KeptLabels keep_labels(HostContext&, const PixelScores&, HostSpan<const float> label_scores, float min_score,
                       HostSpan<const uint8_t> value);

// Writes maps (labels, height, width): the pixel scores, or 0 for a label that keep_labels() would not keep. Call it before keep_labels().
void copy_maps(const PixelScores&, HostSpan<const float> label_scores, float min_score, float* maps);

// Changes the background's scores: each becomes score ^ background_power, but at least background_below.
void adjust_background(HostContext&, const PixelScores&, const MaskSettings&);

// Writes the mask and the confidence: a pixel gets the label with the largest score, and the background if it ties with one.
void make_score_mask(HostContext&, const KeptLabels&, const MaskSettings&, const MaskOutputs&);

}  // namespace clip_es
