// Internal to cpp/crf. Mean-field inference (Krähenbühl and Koltun 2011, algorithm 1).
#pragma once
#include "core/context.h"
#include "crf/dense_crf.h"

namespace clip_es::crf {

// marginals (labels, height, width). Input and settings must be valid; throws Error kInvalidArg for an invalid score and for a sigma that
// is too small for the photo.
void infer_marginals(HostContext&, const CrfInput&, const CrfSettings&, float* marginals);

}  // namespace clip_es::crf
