// Softmax-GradCAM in closed form (CLIP-ES, section 3.1): where each class is, while the other classes and the background words compete for
// the score. There is no autograd and nothing of size n x n per class. The source derives the formulas.
#pragma once
#include <span>

#include "cam/label_texts.h"
#include "cam/last_block.h"
#include "cam/last_block_weights.h"
#include "core/maps.h"

namespace clip_es {

// One row for each label (the mean of its synonyms), then the background: (K + M, E), in the arena's memory. Throws Error kInvalidArg for
// one text in all, because a softmax over one text is always 1.
std::span<double> competing_texts(Arena&, const LabelTexts&, int64_t embedding);

// logits (K + M), probabilities (K + M): of the labels, then of the background. cams: each map min-max normalised.
// Throws Error kInvalidArg as competing_texts(), and kModelFormat as image_embedding().
void softmax_gradcam(HostContext&, const Model&, const LastBlockWeights&, const HostLastBlock&, const LabelTexts&, HostSpan<float> logits,
                     HostSpan<float> probabilities, const HostMaps& cams);

}  // namespace clip_es
