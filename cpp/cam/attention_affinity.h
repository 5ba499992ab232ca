// Class-aware attention-based affinity (CLIP-ES, section 3.3): a CAM spreads along the ViT's own attention.
#pragma once
#include <cstdint>

#include "core/context.h"

namespace clip_es {

struct AffinitySettings {
  int sinkhorn_rounds = 3;  // released value
};

// attention (N, N): mean over heads and the last 8 blocks, class token dropped; rows need not sum to one.
// cams (K, N), boxes (K, N) of 0 and 1 -> refined (K, N) = (T T) (boxes * cams), T = Sinkhorn's matrix made symmetric.
// Sinkhorn lives in two vectors and T T in two products with K columns, so the matrix is read and never written.
void refine_cams(HostContext&, const float* attention, int64_t patches, const float* cams, const uint8_t* boxes, int64_t labels,
                 const AffinitySettings&, float* refined);

}  // namespace clip_es
