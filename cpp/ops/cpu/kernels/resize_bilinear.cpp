#include "ops/cpu/kernels.h"

namespace clip_es::ops::CLIP_ES_LEVEL {

void resize_bilinear_row(const float* map, int64_t width, const Tap& vertical, const Tap* horizontal, int64_t count, float* out) {
  const float* top = map + vertical.low * width;
  const float* bottom = map + vertical.high * width;
  const float v = vertical.fraction;
  for (int64_t x = 0; x < count; ++x) {
    const Tap t = horizontal[x];
    const float left = top[t.low] * (1 - v) + bottom[t.low] * v;
    const float right = top[t.high] * (1 - v) + bottom[t.high] * v;
    out[x] = left * (1 - t.fraction) + right * t.fraction;
  }
}

}  // namespace clip_es::ops::CLIP_ES_LEVEL
