// Softmax-GradCAM in closed form (CLIP-ES, section 3.1). A class's map shows the patches that raise its probability, for which it competes
// with the other classes and the background words. There is no autograd, and no n x n matrix per class. softmax_gradcam.cpp derives the
// formulas.
#pragma once
#include <span>

#include "cam/label_texts.h"
#include "cam/last_block.h"
#include "cam/last_block_weights.h"
#include "core/maps.h"

namespace clip_es {

// Returns (K + M, E) in the arena's memory: one row for each label (the mean of its rows), then the background. Throws Error kInvalidArg if
// there is only one text, because a softmax over one text is always 1.
std::span<double> competing_texts(Arena&, const LabelTexts&, int64_t embedding);

// logits (K + M), probabilities (K + M): of the labels, then of the background. cams: each map is min-max normalised. Throws the errors of
// competing_texts() and of image_embedding().
void softmax_gradcam(HostContext&, const Model&, const LastBlockWeights&, const HostLastBlock&, const LabelTexts&, HostSpan<float> logits,
                     HostSpan<float> probabilities, const HostMaps& cams);

}  // namespace clip_es
