// An encoded photo in the space of texts: the whole photo, as the score pools it, and each patch.
#pragma once
#include <span>

#include "cam/last_block.h"
#include "clip/model.h"
#include "core/context.h"

namespace clip_es {

// f (embedding), of length one: the mean over patches of ln_post's output, projected. In double, because GradCAM subtracts nearly equal
// numbers from it. Throws Error kModelFormat when it is not finite.
void image_embedding(const Model&, const HostLastBlock&, std::span<double> f);

// Throws the same error when a probability is not finite. Call it after the device has finished: kernels cannot throw, so an embedding that
// is not finite is detected here.
void require_finite(std::span<const float> probabilities);

// patches (N, embedding), rows of length one: ln_post's output of each patch, projected.
void patch_embeddings(HostContext&, const Model&, const HostLastBlock&, std::span<float> patches);

}  // namespace clip_es
