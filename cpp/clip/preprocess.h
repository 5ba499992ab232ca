// A photo -> the patches that enter the image tower.
#pragma once
#include <cstdint>
#include <span>

#include "clip/model.h"
#include "core/context.h"
#include "core/grid.h"
#include "core/image.h"
#include "core/memory.h"

namespace clip_es {

// rgb (height, width, 3). Grey is repeated three times and alpha is dropped.
void copy_rgb(const Image&, std::span<uint8_t> rgb);

// (height, width, 3). The photo's own bytes if they are tightly packed RGB, otherwise a copy in the arena.
const uint8_t* to_rgb(HostContext&, const Image&);

// The photo's size after max_side: both sides are reduced by the same factor and rounded, to at least 1, so that none is longer. 0 means
// no limit.
PhotoSize reduced_size(const PhotoSize&, int64_t max_side);

// The reduced photo's sides go UP to the next multiple of the patch. The aspect ratio is not kept.
Grid patch_grid(const PhotoSize&, int64_t patch, int64_t max_side);

// -> patches (grid.patches(), 3 * patch * patch), normalised, each in the order channel, y, x.
void preprocess(HostContext&, const Model&, const Image&, int64_t max_side, HostSpan<float> patches);

}  // namespace clip_es
