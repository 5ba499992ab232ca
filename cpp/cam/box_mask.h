// Where evidence may come from in CAA: the bounding boxes of a CAM's bright parts (CLIP-ES, section 3.3; released scoremap2bbox).
#pragma once
#include <cstdint>

#include "core/context.h"

namespace clip_es {

struct BoxSettings {
  double threshold = 0.4;  // of the map's maximum; released values: 0.4 for VOC, 0.7 for COCO
};

// cam (height, width) in [0, 1] -> mask (height, width) of 0 and 1: the union of the bounding boxes of the 8-connected components of the
// 8-bit map (truncated) above int(threshold * maximum). As released, a box's far corner is clipped to size - 1 and then exclusive, so a
// box at the right or bottom border loses that column or row.
void box_mask(HostContext&, const float* cam, int64_t height, int64_t width, const BoxSettings&, uint8_t* mask);

}  // namespace clip_es
