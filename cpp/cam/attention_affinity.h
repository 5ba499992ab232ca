// Class-aware attention-based affinity (CLIP-ES, section 3.3): a CAM spreads along the ViT's own attention.
#pragma once
#include <cstdint>

#include "core/context.h"
#include "core/maps.h"

namespace clip_es {

struct AffinitySettings {
  int sinkhorn_rounds = 3;  // released value
};

// attention (N, N): the mean over heads and the last 8 blocks, without the class token. Its rows need not sum to one.
// boxes (K, N): 0 or 1. refined = (T T) (boxes * cams), where T is Sinkhorn's matrix made symmetric. The N x N matrix is read and never
// written: Sinkhorn's factors are two vectors, and T T is applied as two products with K columns.
void refine_cams(HostContext&, HostSpan<const float> attention, const HostMaps& cams, HostSpan<const uint8_t> boxes,
                 const AffinitySettings&, const HostMaps& refined);

}  // namespace clip_es
