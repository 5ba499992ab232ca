// Embeddings of an encoded photo, which can be compared with those of texts: one of the whole photo, and one of each patch.
#pragma once
#include <span>

#include "cam/last_block.h"
#include "clip/model.h"
#include "core/context.h"

namespace clip_es {

// Writes f (embedding), of length one: the projected mean over patches of ln_post's output. It is a double, because GradCAM subtracts
// nearly equal numbers from it. Throws Error kModelFormat if it is not finite.
void image_embedding(const Model&, const HostLastBlock&, std::span<double> f);

// Throws the same error if a probability is not finite. Call it after the device has finished: kernels cannot throw, so an embedding that
// is not finite is detected here.
void require_finite(std::span<const float> probabilities);

// Writes rows (count, embedding) of length one: the projection of ln_post's output z (count, width).
void project(HostContext&, const Model&, std::span<const float> z, std::span<float> rows);

// Writes patches (N, embedding), rows of length one: the projection of ln_post's output for each patch.
void patch_embeddings(HostContext&, const Model&, const HostLastBlock&, std::span<float> patches);

}  // namespace clip_es
