#include <algorithm>

#include "ops/cpu/kernels.h"
#include "ops/ops.h"

namespace clip_es::ops {

void bilinear_taps(int64_t in_size, int64_t out_size, std::span<Tap> taps) {
  for (int64_t i = 0; i < out_size; ++i) taps[i] = bilinear_tap(in_size, out_size, i);
}

void resize_bilinear_row(const float* map, int64_t width, const Tap& vertical, std::span<const Tap> horizontal, float* out) {
  kernels().resize_bilinear_row(map, width, vertical, horizontal.data(), std::ssize(horizontal), out);
}

void min_max(float* map, int64_t count) {
  const auto [low, high] = std::minmax_element(map, map + count);
  const float minimum = *low, range = 1e-7f + (*high - *low);
  for (int64_t i = 0; i < count; ++i) map[i] = (map[i] - minimum) / range;
}

}  // namespace clip_es::ops
