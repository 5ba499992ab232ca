#include <algorithm>
#include <cmath>

#include "ops/cpu/simd.h"
#include "ops/ops.h"

namespace clip_es::ops {

void bilinear_taps(int64_t in_size, int64_t out_size, std::span<Tap> taps) {
  const double scale = static_cast<double>(in_size) / static_cast<double>(out_size);
  for (int64_t i = 0; i < out_size; ++i) {
    const double at = std::max((static_cast<double>(i) + 0.5) * scale - 0.5, 0.0);
    const auto low = std::min(static_cast<int64_t>(at), in_size - 1);
    taps[static_cast<size_t>(i)] = {static_cast<int32_t>(low), static_cast<int32_t>(std::min(low + 1, in_size - 1)),
                                    static_cast<float>(at - static_cast<double>(low))};
  }
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
