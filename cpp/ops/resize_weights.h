// The weights of Pillow's bicubic resize, for every device. They are few, and computed on the CPU in double precision.
#pragma once
#include <cstdint>
#include <span>

#include "core/arena.h"

namespace clip_es::ops {

// Output pixel p is the sum of weights[p * taps + i] / 2^22 times input pixel first[p] + i, for i < count[p].
struct ResizeWeights {
  int64_t taps;
  std::span<int32_t> first, count, weights;
};

// The weights of one direction. They live in the arena.
ResizeWeights resize_weights(Arena&, int64_t in_size, int64_t out_size);

}  // namespace clip_es::ops
