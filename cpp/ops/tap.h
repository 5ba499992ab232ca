// The taps of the bilinear resize, with the same arithmetic on every device.
#pragma once
#include <cstdint>

#ifdef __CUDACC__
#define CLIP_ES_HOST_DEVICE __host__ __device__
#else
#define CLIP_ES_HOST_DEVICE
#endif

namespace clip_es::ops {

// An output pixel is (1 - fraction) times input pixel `low` plus fraction times input pixel `high`.
struct Tap {
  int32_t low, high;
  float fraction;
};

// The tap of output pixel i: half-pixel centres, clamped edges, no antialiasing.
CLIP_ES_HOST_DEVICE inline Tap bilinear_tap(int64_t in_size, int64_t out_size, int64_t i) {
  const double at = (i + 0.5) * (static_cast<double>(in_size) / static_cast<double>(out_size)) - 0.5;
  const double inside = at > 0 ? at : 0;
  const auto floor = static_cast<int64_t>(inside);
  const int64_t low = floor < in_size - 1 ? floor : in_size - 1;
  return {static_cast<int32_t>(low), static_cast<int32_t>(low + 1 < in_size ? low + 1 : low),
          static_cast<float>(inside - static_cast<double>(low))};
}

}  // namespace clip_es::ops
