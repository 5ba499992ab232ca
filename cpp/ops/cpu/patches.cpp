#include "ops/ops.h"

namespace clip_es::ops {

void extract_patches(HostContext& context, const uint8_t* image, int64_t gh, int64_t gw, int64_t patch, const float mean[3],
                     const float std[3], float* out) {
  // The normalised value of each of the 256 bytes, computed in float32 with the same steps as torchvision.
  float value[3][256];
  for (int c = 0; c < 3; ++c)
    for (int byte = 0; byte < 256; ++byte) value[c][byte] = (byte / 255.0f - mean[c]) / std[c];
  const int64_t row_bytes = gw * patch * 3, size = 3 * patch * patch;
  context.pool.split(gh * gw, 16, [&](int64_t begin, int64_t end) {
    for (int64_t index = begin; index < end; ++index) {
      const uint8_t* corner = image + (index / gw) * patch * row_bytes + (index % gw) * patch * 3;
      float* to = out + index * size;
      for (int c = 0; c < 3; ++c)
        for (int64_t y = 0; y < patch; ++y)
          for (int64_t x = 0; x < patch; ++x) *to++ = value[c][corner[y * row_bytes + x * 3 + c]];
    }
  });
}

}  // namespace clip_es::ops
