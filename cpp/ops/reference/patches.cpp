// Each patch is one row of (byte / 255 - mean) / std: one channel after the other, each from top to bottom and from left to right.
#include "ops/reference/reference.h"

namespace clip_es::reference {

Matrix extract_patches(std::span<const uint8_t> image, int64_t gh, int64_t gw, int64_t patch, std::span<const float> mean,
                       std::span<const float> std) {
  Matrix out(gh * gw, 3 * patch * patch);
  for (int64_t gy = 0; gy < gh; ++gy)
    for (int64_t gx = 0; gx < gw; ++gx)
      for (int64_t c = 0; c < 3; ++c)
        for (int64_t y = 0; y < patch; ++y)
          for (int64_t x = 0; x < patch; ++x) {
            const int64_t pixel = (gy * patch + y) * gw * patch + gx * patch + x;
            const double value = image[pixel * 3 + c] / 255.0;
            out(gy * gw + gx, (c * patch + y) * patch + x) = (value - mean[c]) / std[c];
          }
  return out;
}

}  // namespace clip_es::reference
