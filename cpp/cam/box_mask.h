// Where evidence may come from in CAA: the bounding boxes of a CAM's bright parts (CLIP-ES, section 3.3; scoremap2bbox in the released
// code).
#pragma once
#include <cstdint>

#include "core/context.h"
#include "core/maps.h"

namespace clip_es {

struct BoxSettings {
  double threshold = 0.4;  // of the map's maximum; released values: 0.4 for VOC, 0.7 for COCO
};

// cams, in [0, 1] -> boxes (K, N), 0 or 1: for each map the union of the bounding boxes of the 8-connected components of the 8-bit map
// (truncated) above int(threshold * maximum). As in the released code, a box's far corner is clipped to size - 1 and then exclusive, so
// that a box at the right or bottom border loses that column or row.
void box_mask(HostContext&, const HostMaps& cams, const BoxSettings&, HostSpan<uint8_t> boxes);

}  // namespace clip_es
