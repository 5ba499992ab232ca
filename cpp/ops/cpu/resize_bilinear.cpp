#include <algorithm>
#include <cmath>

#include "ops/cpu/simd.h"
#include "ops/ops.h"

namespace clip_es::ops {

void bilinear_taps(int64_t in_size, int64_t out_size, std::span<Tap> taps) {
  for (int64_t i = 0; i < out_size; ++i) taps[static_cast<size_t>(i)] = bilinear_tap(in_size, out_size, i);
}

CLIP_ES_MULTIVERSION void resize_bilinear_row(const float* map, int64_t width, const Tap& vertical, std::span<const Tap> horizontal,
                                              float* out) {
  const float* top = map + vertical.low * width;
  const float* bottom = map + vertical.high * width;
  const float v = vertical.fraction;
  for (size_t x = 0; x < horizontal.size(); ++x) {
    const Tap t = horizontal[x];
    const float left = top[t.low] * (1 - v) + bottom[t.low] * v;
    const float right = top[t.high] * (1 - v) + bottom[t.high] * v;
    out[x] = left * (1 - t.fraction) + right * t.fraction;
  }
}

void min_max(float* map, int64_t count) {
  const auto [low, high] = std::minmax_element(map, map + count);
  const float minimum = *low, range = 1e-7f + (*high - *low);
  for (int64_t i = 0; i < count; ++i) map[i] = (map[i] - minimum) / range;
}

}  // namespace clip_es::ops
