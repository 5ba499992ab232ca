// Maps to labels: a thread takes a pixel through enlargement, background, argmax and confidence, and writes only what is wanted; the maps
// (a few kilobytes each) stay in the first-level cache.
#include "ops/cuda/common.cuh"
#include "ops/tap.h"

namespace clip_es::cuda {
namespace {

constexpr int kThreads = 256;

// A block takes a map.
__global__ void min_max_kernel(MinMax in) {
  float* map = in.maps + blockIdx.x * in.patches;
  float low = INFINITY, high = -INFINITY;
  for (int64_t i = threadIdx.x; i < in.patches; i += kThreads) {
    low = fminf(low, map[i]);
    high = fmaxf(high, map[i]);
  }
  low = -block_max<kThreads>(-low);
  high = block_max<kThreads>(high);
  const float range = 1e-7f + (high - low);
  for (int64_t i = threadIdx.x; i < in.patches; i += kThreads) map[i] = (map[i] - low) / range;
}

// The first of the largest wins, the background standing before the maps.
__global__ void pseudo_mask_kernel(PseudoMask in) {
  const int64_t pixels = in.width * in.height, pixel = global_thread();
  if (pixel >= pixels) return;
  const ops::Tap v = ops::bilinear_tap(in.gh, in.height, pixel / in.width), h = ops::bilinear_tap(in.gw, in.width, pixel % in.width);
  float largest = 0;
  int64_t winner = 0;
  for (int64_t k = 0; k < in.labels; ++k) {
    const float* map = in.maps + k * in.gh * in.gw;
    const float *top = map + v.low * in.gw, *bottom = map + v.high * in.gw;
    const float left = top[h.low] * (1 - v.fraction) + bottom[h.low] * v.fraction;
    const float right = top[h.high] * (1 - v.fraction) + bottom[h.high] * v.fraction;
    const float value = fminf(left * (1 - h.fraction) + right * h.fraction, 1.0f);  // interpolation may round past the end
    if (in.enlarged) in.enlarged[k * pixels + pixel] = value;
    if (k == 0 || value > largest) {
      largest = value;
      winner = k;
    }
  }
  const float background = in.background_power == 1 ? 1 - largest : powf(1 - largest, in.background_power);
  const float score = fmaxf(background, largest);
  if (in.background) in.background[pixel] = background;
  if (in.confidence) in.confidence[pixel] = score;
  if (in.mask) in.mask[pixel] = score < in.ignore_below ? in.ignored : background >= largest ? 0 : in.value[winner];
}

}  // namespace

int min_max(Stream stream, const MinMax& in) { return launch(stream, min_max_kernel, static_cast<unsigned>(in.labels), kThreads, in); }

int pseudo_mask(Stream stream, const PseudoMask& in) {
  return launch(stream, pseudo_mask_kernel, blocks_for(in.width * in.height, kThreads), kThreads, in);
}

}  // namespace clip_es::cuda
