// Converts a photo to the patches that enter the image tower.
#pragma once
#include <cstdint>
#include <span>

#include "clip/model.h"
#include "core/context.h"
#include "core/grid.h"
#include "core/image.h"
#include "core/memory.h"

namespace clip_es {

// Copies the photo to rgb (height, width, 3). Grey is repeated three times and alpha is dropped.
void copy_rgb(const Image&, std::span<uint8_t> rgb);

// Returns the photo as (height, width, 3): its own bytes if they are tightly packed RGB, otherwise a copy in the arena.
const uint8_t* to_rgb(HostContext&, const Image&);

// The photo's size if no side may be longer than max_side: both sides are divided by the same factor and rounded, to at least 1.
// max_side 0 means no limit.
PhotoSize reduced_size(const PhotoSize&, int64_t max_side);

// The grid of patches of the reduced photo times `scale`, of which no side may be longer than max_side either. Both sides are rounded up to
// whole patches, and preprocess() stretches the photo to that size, so the aspect ratio changes a little.
Grid patch_grid(const PhotoSize&, int64_t patch, int64_t max_side, double scale = 1);

// One way in which a photo enters the network. tools/golden/views.py defines how the views of a photo are combined.
struct View {
  double scale = 1;  // of the reduced photo
  bool mirrored = false;
};

// Returns the photo in the arena, as (height, width, 3), at the size at which this view enters the network. If it is passed to
// preprocess() with max_side 0, it is not resized again.
Image make_view(HostContext&, const Image&, const View&, int64_t patch, int64_t max_side);

// Writes patches (grid.patches(), 3 * patch * patch): normalised values, each patch in the order channel, y, x. It has no checkpoint: a
// photo of 100 megapixels takes half a second on one core, about as long as one transformer block, and the encoder has the next checkpoint.
void preprocess(HostContext&, const Model&, const Image&, int64_t max_side, HostSpan<float> patches);

}  // namespace clip_es
