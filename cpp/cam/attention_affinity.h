// Class-aware attention-based affinity (CLIP-ES, section 3.3): refines a CAM with the attention between the patches.
#pragma once
#include <cstdint>

#include "core/context.h"
#include "core/maps.h"

namespace clip_es {

struct AffinitySettings {
  int sinkhorn_rounds = 3;  // released value
};

// attention (N, N): the mean over heads and the last 8 blocks, without the class token. Its rows need not sum to one.
// boxes (K, N): 0 or 1. refined = T T (boxes * cams), where T = (S + S^T) / 2 and S is `attention` after Sinkhorn's rounds. Neither S nor T
// is stored: S is `attention` with a factor for each row and column, and T is applied twice to the K columns.
void refine_cams(HostContext&, HostSpan<const float> attention, const HostMaps& cams, HostSpan<const uint8_t> boxes,
                 const AffinitySettings&, const HostMaps& refined);

}  // namespace clip_es
