// A thread for each number of the result; the 256 normalised values of each channel come from the host, equal to the CPU's.
#include "ops/cuda/common.cuh"
#include "ops/tap.h"

namespace clip_es::cuda {
namespace {

constexpr int kThreads = 256;

__global__ void extract_patches_kernel(ExtractPatches in) {
  const int64_t area = in.patch * in.patch, size = 3 * area, index = global_thread();
  if (index >= in.gh * in.gw * size) return;
  const int64_t patch = index / size, channel = index % size / area, y = index % area / in.patch, x = index % in.patch;
  const int64_t row = patch / in.gw * in.patch + y, column = patch % in.gw * in.patch + x;
  in.out[index] = in.value[channel * 256 + in.image[(row * in.gw * in.patch + column) * 3 + channel]];
}

__global__ void add_positions_kernel(AddPositions in) {
  const int64_t index = global_thread();
  if (index >= (1 + in.gh * in.gw) * in.width) return;
  const int64_t c = index % in.width, patch = index / in.width - 1;
  if (patch < 0) {
    in.x[index] = in.class_embedding[c] + in.positions[c];
    return;
  }
  const ops::Tap v = ops::bilinear_tap(in.trained_side, in.gh, patch / in.gw), h = ops::bilinear_tap(in.trained_side, in.gw, patch % in.gw);
  const float* trained = in.positions + in.width + c;  // after the class token's
  const auto at = [&](int64_t y, int64_t x) { return trained[(y * in.trained_side + x) * in.width]; };
  const float top = at(v.low, h.low) * (1 - h.fraction) + at(v.low, h.high) * h.fraction;
  const float bottom = at(v.high, h.low) * (1 - h.fraction) + at(v.high, h.high) * h.fraction;
  in.x[index] += top * (1 - v.fraction) + bottom * v.fraction;
}

}  // namespace

int extract_patches(Stream stream, const ExtractPatches& in) {
  return launch(stream, extract_patches_kernel, blocks_for(in.gh * in.gw * 3 * in.patch * in.patch, kThreads), kThreads, in);
}

int add_positions(Stream stream, const AddPositions& in) {
  return launch(stream, add_positions_kernel, blocks_for((1 + in.gh * in.gw) * in.width, kThreads), kThreads, in);
}

}  // namespace clip_es::cuda
