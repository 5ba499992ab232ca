// min_max:      map = (map - min) / (1e-7 + max - min)
// pseudo_mask:  s_k = map k at this pixel, bilinear; background = (1 - max s)^power, at least background_below; confidence =
// max(background, max s);
//               mask = ignored if confidence < ignore_below, 0 if background >= max s, else the value of the label with the largest s.
// Twins: ops::min_max, mask/pseudo_mask.cpp, reference/pseudo_mask.cpp.
// One thread per pixel does all steps, so that no intermediate result is stored. The maps, a few kilobytes each, stay in the first-level
// cache.
#include "ops/cuda/common.cuh"
#include "ops/tap.h"

namespace clip_es::cuda {
namespace {

constexpr int kThreads = 256;

// One block per photo and map.
__global__ void __launch_bounds__(kThreads) min_max_kernel(const __grid_constant__ MinMax args) {
  const MinMaxPhoto& photo = args.photos.photo[blockIdx.z];
  if (blockIdx.x >= photo.labels) return;
  const int patches = static_cast<int>(photo.patches);
  float* map = photo.maps + blockIdx.x * photo.patches;
  float low = INFINITY, high = -INFINITY;
  for (int i = threadIdx.x; i < patches; i += kThreads) {
    low = fminf(low, map[i]);
    high = fmaxf(high, map[i]);
  }
  low = -block_max<kThreads>(-low);
  high = block_max<kThreads>(high);
  const float range = 1e-7f + (high - low);
  for (int i = threadIdx.x; i < patches; i += kThreads) map[i] = (map[i] - low) / range;
}

// If scores are equal, the background wins, then the first label.
__global__ void __launch_bounds__(kThreads) pseudo_mask_kernel(const __grid_constant__ PseudoMask args) {
  const PseudoMaskPhoto& photo = args.photos.photo[blockIdx.z];
  const int64_t pixels = photo.width * photo.height, pixel = global_thread();
  if (pixel >= pixels) return;
  const int labels = static_cast<int>(photo.labels), gw = static_cast<int>(photo.gw), width = static_cast<int>(photo.width);
  const ops::Tap v = ops::bilinear_tap(photo.gh, photo.height, static_cast<int>(pixel) / width),
                 h = ops::bilinear_tap(photo.gw, photo.width, static_cast<int>(pixel) % width);
  float largest = 0;
  int winner = 0;
  for (int k = 0; k < labels; ++k) {
    const float* map = photo.maps + k * photo.gh * photo.gw;
    const float *top = map + v.low * gw, *bottom = map + v.high * gw;
    const float left = top[h.low] * (1 - v.fraction) + bottom[h.low] * v.fraction;
    const float right = top[h.high] * (1 - v.fraction) + bottom[h.high] * v.fraction;
    const float value = fminf(left * (1 - h.fraction) + right * h.fraction, 1.0f);  // rounding may give slightly more than 1
    if (photo.enlarged) photo.enlarged[k * pixels + pixel] = value;
    if (k == 0 || value > largest) {
      largest = value;
      winner = k;
    }
  }
  const float raised = photo.background_power == 1 ? 1 - largest : powf(1 - largest, photo.background_power);
  const float background = fmaxf(raised, photo.background_below);
  const float score = fmaxf(background, largest);
  if (photo.confidence) photo.confidence[pixel] = score;
  if (!photo.mask) return;
  photo.mask[pixel] = score < photo.ignore_below ? args.ignored_value : background >= largest ? 0 : photo.label_values[winner];
}

}  // namespace

int min_max(Stream stream, const MinMax& args) {
  const unsigned labels = most_blocks(args.photos, [](const auto& photo) { return static_cast<unsigned>(photo.labels); });
  return launch(stream, min_max_kernel, {labels, 1, depth_of(args.photos)}, kThreads, args);
}

int pseudo_mask(Stream stream, const PseudoMask& args) {
  const unsigned blocks = most_blocks(args.photos, [](const auto& photo) { return blocks_for(photo.width * photo.height, kThreads); });
  return launch(stream, pseudo_mask_kernel, {blocks, 1, depth_of(args.photos)}, kThreads, args);
}

}  // namespace clip_es::cuda
