// extract_patches:  out[patch][channel][y][x] = pixel_values[channel][byte]. The table of normalised bytes is computed on the host, so the
//                   values equal the CPU's. Twin: ops/cpu/patches.cpp.
// add_positions:    x[1 + patch] = embedded[patch] + the trained positional embeddings, interpolated bilinearly at this patch.
//                   Twin: clip_es::resize_positions.
// One thread per element of the result, so that writes are contiguous.
#include "ops/cuda/common.cuh"
#include "ops/tap.h"

namespace clip_es::cuda {
namespace {

constexpr int kThreads = 256;

__global__ void __launch_bounds__(kThreads) extract_patches_kernel(ExtractPatches args) {
  const int64_t area = args.patch * args.patch, size = 3 * area, index = global_thread();
  if (index >= args.gh * args.gw * size) return;
  const int64_t patch = index / size, channel = index % size / area, y = index % area / args.patch, x = index % args.patch;
  const int64_t row = patch / args.gw * args.patch + y, column = patch % args.gw * args.patch + x;
  args.out[index] = args.pixel_values[channel * 256 + args.image[(row * args.gw * args.patch + column) * 3 + channel]];
}

__global__ void __launch_bounds__(kThreads) add_positions_kernel(AddPositions args) {
  const int64_t index = global_thread(), patches = args.gh * args.gw, image = blockIdx.y;
  if (index >= (1 + patches) * args.width) return;
  const int64_t c = index % args.width, patch = index / args.width - 1;
  float* x = args.x + image * (1 + patches) * args.width;
  if (patch < 0) {
    x[index] = args.class_embedding[c] + args.positions[c];
    return;
  }
  const ops::Tap v = ops::bilinear_tap(args.trained_side, args.gh, patch / args.gw),
                 h = ops::bilinear_tap(args.trained_side, args.gw, patch % args.gw);
  const float* trained = args.positions + args.width + c;  // without the class token
  const auto at = [&](int64_t row, int64_t column) { return trained[(row * args.trained_side + column) * args.width]; };
  const float top = at(v.low, h.low) * (1 - h.fraction) + at(v.low, h.high) * h.fraction;
  const float bottom = at(v.high, h.low) * (1 - h.fraction) + at(v.high, h.high) * h.fraction;
  x[index] = args.embedded[(image * patches + patch) * args.width + c] + (top * (1 - v.fraction) + bottom * v.fraction);
}

}  // namespace

int extract_patches(Stream stream, const ExtractPatches& args) {
  return launch(stream, extract_patches_kernel, blocks_for(args.gh * args.gw * 3 * args.patch * args.patch, kThreads), kThreads, args);
}

int add_positions(Stream stream, const AddPositions& args) {
  const dim3 blocks(blocks_for((1 + args.gh * args.gw) * args.width, kThreads), static_cast<unsigned>(args.images));
  return launch(stream, add_positions_kernel, blocks, kThreads, args);
}

}  // namespace clip_es::cuda
