// min_max:      map = (map - min) / (1e-7 + max - min)
// pseudo_mask:  s_k = map k at this pixel, bilinear; background = (1 - max s)^power; confidence = max(background, max s);
//               mask = ignored if confidence < ignore_below, 0 if background >= max s, else the value of the label with the largest s.
// Twins: ops::min_max, mask/pseudo_mask.cpp, reference/pseudo_mask.cpp.
// One thread per pixel does all steps, so that no intermediate result is stored. The maps, a few kilobytes each, stay in the first-level
// cache.
#include "ops/cuda/common.cuh"
#include "ops/tap.h"

namespace clip_es::cuda {
namespace {

constexpr int kThreads = 256;

// One block per map.
__global__ void __launch_bounds__(kThreads) min_max_kernel(MinMax args) {
  float* map = args.maps + blockIdx.x * args.patches;
  float low = INFINITY, high = -INFINITY;
  for (int64_t i = threadIdx.x; i < args.patches; i += kThreads) {
    low = fminf(low, map[i]);
    high = fmaxf(high, map[i]);
  }
  low = -block_max<kThreads>(-low);
  high = block_max<kThreads>(high);
  const float range = 1e-7f + (high - low);
  for (int64_t i = threadIdx.x; i < args.patches; i += kThreads) map[i] = (map[i] - low) / range;
}

// If scores are equal, the background wins, then the first label.
__global__ void __launch_bounds__(kThreads) pseudo_mask_kernel(PseudoMask args) {
  const int64_t pixels = args.width * args.height, pixel = global_thread();
  if (pixel >= pixels) return;
  const ops::Tap v = ops::bilinear_tap(args.gh, args.height, pixel / args.width),
                 h = ops::bilinear_tap(args.gw, args.width, pixel % args.width);
  float largest = 0;
  int64_t winner = 0;
  for (int64_t k = 0; k < args.labels; ++k) {
    const float* map = args.maps + k * args.gh * args.gw;
    const float *top = map + v.low * args.gw, *bottom = map + v.high * args.gw;
    const float left = top[h.low] * (1 - v.fraction) + bottom[h.low] * v.fraction;
    const float right = top[h.high] * (1 - v.fraction) + bottom[h.high] * v.fraction;
    const float value = fminf(left * (1 - h.fraction) + right * h.fraction, 1.0f);  // rounding may give slightly more than 1
    if (args.enlarged) args.enlarged[k * pixels + pixel] = value;
    if (k == 0 || value > largest) {
      largest = value;
      winner = k;
    }
  }
  const float background = args.background_power == 1 ? 1 - largest : powf(1 - largest, args.background_power);
  const float score = fmaxf(background, largest);
  if (args.background) args.background[pixel] = background;
  if (args.confidence) args.confidence[pixel] = score;
  if (args.mask) args.mask[pixel] = score < args.ignore_below ? args.ignored_value : background >= largest ? 0 : args.label_values[winner];
}

}  // namespace

int min_max(Stream stream, const MinMax& args) {
  return launch(stream, min_max_kernel, static_cast<unsigned>(args.labels), kThreads, args);
}

int pseudo_mask(Stream stream, const PseudoMask& args) {
  return launch(stream, pseudo_mask_kernel, blocks_for(args.width * args.height, kThreads), kThreads, args);
}

}  // namespace clip_es::cuda
