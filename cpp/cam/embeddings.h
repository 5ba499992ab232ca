// An encoded photo in the space of texts: as a whole, the way the score pools it, and patch by patch.
#pragma once
#include <span>

#include "cam/softmax_gradcam.h"

namespace clip_es {

// An image without a direction in the space of texts: kModelFormat.
[[noreturn]] void throw_no_embedding();

// f (embedding), of length one: the mean over patches of ln_post's output, projected. In double, as GradCAM subtracts nearly equal
// numbers from it. Throws Error kModelFormat when it is not finite.
void image_embedding(const Model&, const LastBlock&, std::span<double> f);

// patches (N, embedding), rows of length one: each patch's own output of ln_post, projected.
void patch_embeddings(HostContext&, const Model&, const LastBlock&, float* patches);

}  // namespace clip_es
