// The box masks of CAA: the bounding boxes of the bright parts of a CAM (CLIP-ES, section 3.3; scoremap2bbox in the released code). Only
// patches inside the boxes contribute to the refined map.
#pragma once
#include <cstdint>

#include "core/context.h"
#include "core/maps.h"

namespace clip_es {

struct BoxSettings {
  double threshold = 0.4;  // share of the map's maximum; released values: 0.4 for VOC, 0.7 for COCO
};

// cams: from 0 to 1. boxes (K, N): 1 inside the bounding boxes of a map's components, otherwise 0. Each map is multiplied by 255 and
// truncated. A component is a set of 8-connected cells above int(threshold * maximum). As in the released code, the end of a box is
// exclusive and at most size - 1, so a box at the right or bottom border loses its last column or row.
// There is no checkpoint, because 20 maps of 64 x 64 cells take about a millisecond.
void box_mask(HostContext&, const HostMaps& cams, const BoxSettings&, HostSpan<uint8_t> boxes);

}  // namespace clip_es
