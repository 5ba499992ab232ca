// Maps by similarity: every patch is compared with all words, and one softmax over the words gives each its probability.
#pragma once
#include <span>

#include "cam/attention_affinity.h"
#include "cam/box_mask.h"
#include "cam/label_texts.h"
#include "cam/windows.h"
#include "core/context.h"
#include "core/image.h"
#include "core/maps.h"

namespace clip_es {

// The number of words that compete: the rows of all labels, then the background words.
int64_t count_words(const LabelTexts&, int64_t embedding);

// features: see patch_features() -> cosines (words, cells): one map per word on windows.cells(). Where windows overlap, a pixel has the
// mean of the windows that contain it, after each window's map was enlarged to its pixels.
void compare_words(HostContext&, const Windows&, HostSpan<const float> features, const LabelTexts&, const HostMaps& cosines);

// The probabilities on the photo's grid of patches: maps (1 + K, N), the background first. The largest probability among a label's rows
// stands for the label.
void word_maps(HostContext&, const Windows&, const HostMaps& cosines, const LabelTexts&, float logit_scale, const HostMaps& maps);

// CAA for word_maps(): changes the shape of each map and keeps its range, so that the map of an absent word stays low. A label's evidence
// comes from its boxes only; the background has none. refined (1 + K, N).
void refine_word_maps(HostContext&, HostSpan<const float> attention, const HostMaps& maps, const BoxSettings&, const AffinitySettings&,
                      const HostMaps& refined);

// Writes scores (1 + K, height, width): cosines enlarged to the photo's size, then the softmax.
void score_words(HostContext&, const HostMaps& cosines, const LabelTexts&, float logit_scale, const PhotoSize&, HostSpan<float> scores);

// Writes scores (maps.labels, height, width): the maps enlarged to the photo's size.
void enlarge_maps(HostContext&, const HostMaps& maps, const PhotoSize&, HostSpan<float> scores);

}  // namespace clip_es
