// The results of each stage of the CPU for the golden photos.
#pragma once
#include "core/precision.h"
#include "golden.h"

// Computed by a pool of `threads` threads. A result is computed once and kept until the program ends.
const Results& results_of(const Case&, int threads, clip_es::Precision = clip_es::Precision::kFloat32);

// True if the box mask of our own CAM `map` equals the golden box mask.
bool has_golden_box(const Case&, int threads, int64_t map);
