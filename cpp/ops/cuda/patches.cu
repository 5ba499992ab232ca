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

__global__ void __launch_bounds__(kThreads) extract_patches_kernel(const __grid_constant__ ExtractPatches args) {
  const ExtractPatchesPhoto& photo = args.photos.photo[blockIdx.z];
  const int side = static_cast<int>(args.patch), area = side * side, size = 3 * area, gw = static_cast<int>(photo.gw);
  const int64_t index = global_thread();
  if (index >= photo.gh * gw * size) return;
  const int patch = static_cast<int>(index / size), in_patch = static_cast<int>(index % size);
  const int channel = in_patch / area, y = in_patch % area / side, x = in_patch % side;
  const int row = patch / gw * side + y, column = patch % gw * side + x;
  photo.out[index] = args.pixel_values[channel * 256 + photo.image[(static_cast<int64_t>(row) * gw * side + column) * 3 + channel]];
}

__global__ void __launch_bounds__(kThreads) add_positions_kernel(const __grid_constant__ AddPositions args) {
  const AddPositionsPhoto& photo = args.photos.photo[blockIdx.z];
  const int64_t index = global_thread();
  if (index >= (1 + photo.gh * photo.gw) * args.width) return;
  const int c = static_cast<int>(index % args.width), patch = static_cast<int>(index / args.width) - 1, gw = static_cast<int>(photo.gw);
  if (patch < 0) {
    photo.x[index] = args.class_embedding[c] + args.positions[c];
    return;
  }
  const ops::Tap v = ops::bilinear_tap(args.trained_side, photo.gh, patch / gw), h = ops::bilinear_tap(args.trained_side, gw, patch % gw);
  const float* trained = args.positions + args.width + c;  // without the class token
  const auto at = [&](int64_t row, int64_t column) { return trained[(row * args.trained_side + column) * args.width]; };
  const float top = at(v.low, h.low) * (1 - h.fraction) + at(v.low, h.high) * h.fraction;
  const float bottom = at(v.high, h.low) * (1 - h.fraction) + at(v.high, h.high) * h.fraction;
  photo.x[index] = photo.embedded[index - args.width] + (top * (1 - v.fraction) + bottom * v.fraction);
}

}  // namespace

int extract_patches(Stream stream, const ExtractPatches& args) {
  const int64_t size = 3 * args.patch * args.patch;
  const unsigned blocks = most_blocks(args.photos, [&](const auto& photo) { return blocks_for(photo.gh * photo.gw * size, kThreads); });
  return launch(stream, extract_patches_kernel, {blocks, 1, depth_of(args.photos)}, kThreads, args);
}

int add_positions(Stream stream, const AddPositions& args) {
  const unsigned blocks =
      most_blocks(args.photos, [&](const auto& photo) { return blocks_for((1 + photo.gh * photo.gw) * args.width, kThreads); });
  return launch(stream, add_positions_kernel, {blocks, 1, depth_of(args.photos)}, kThreads, args);
}

}  // namespace clip_es::cuda
