// The weights of Pillow's bicubic resize. The CPU computes them in double precision for every device, because they are few.
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

// Returns the weights of one direction, in the arena's memory.
ResizeWeights resize_weights(Arena&, int64_t in_size, int64_t out_size);

}  // namespace clip_es::ops
