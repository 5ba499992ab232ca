// The naive twin of the dense CRF, for tests: it sums over all pairs of pixels.
#pragma once
#include <span>

#include "crf/dense_crf.h"
#include "ops/reference/reference.h"

namespace clip_es::reference {

// rgb (height, width, 3), scores (labels, height * width) -> marginals (labels, height * width). Takes time proportional to pixels^2.
Matrix dense_crf(std::span<const uint8_t> rgb, int64_t width, int64_t height, const Matrix& scores, const CrfSettings& settings);

}  // namespace clip_es::reference
