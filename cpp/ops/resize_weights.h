// The weights of Pillow's bicubic resize, which every device takes from here: they are few and made in double precision.
#pragma once
#include <cstdint>
#include <span>

#include "core/arena.h"

namespace clip_es::ops {

// Where each output pixel draws from: weights[pixel * taps + i], in 1 / 2^22, belongs to input pixel first[pixel] + i, i < count[pixel].
struct ResizeWeights {
  int64_t taps;
  std::span<int32_t> first, count, weights;
};

// Of one direction, in the arena's memory.
ResizeWeights resize_weights(Arena&, int64_t in_size, int64_t out_size);

}  // namespace clip_es::ops
