// Maps: one value per label and patch. `Floats` is HostSpan<float> or DeviceSpan<float>.
#pragma once
#include <cstdint>

#include "core/grid.h"
#include "core/memory.h"

namespace clip_es {

template <class Floats>
struct Maps {
  Floats data;  // (labels, grid.height, grid.width)
  int64_t labels;
  Grid grid;

  int64_t size() const { return labels * grid.patches(); }
  Floats map(int64_t label) const { return data.subspan(label * grid.patches(), grid.patches()); }
};

using HostMaps = Maps<HostSpan<float>>;
using DeviceMaps = Maps<DeviceSpan<float>>;

}  // namespace clip_es
