// Internal to cpp/crf. The last step: makes a mask and its confidence from the marginals.
#pragma once
#include <cstdint>

#include "core/context.h"
#include "crf/dense_crf.h"

namespace clip_es::crf {

// marginals (labels, pixels). Fills outputs.mask and outputs.confidence.
void take_argmax(HostContext&, const float* marginals, int64_t labels, int64_t pixels, const CrfOutputs&);

}  // namespace clip_es::crf
