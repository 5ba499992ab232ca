// extract_patches:  out[patch][channel][y][x] = pixel_values[channel][byte], where the byte is that of the column pass of
// resize_bicubic.cu.
//                   The table of normalised bytes is computed on the host, so the values equal the CPU's; in bfloat16 they are rounded.
//                   Twins: ops/cpu/resize_bicubic.cpp, ops/cpu/patches.cpp.
// embed_tokens:     x[1 + patch] = embedded[patch] + the trained positional embeddings, interpolated bilinearly at this patch; then x is
//                   normalised. Twins: clip_es::resize_positions, ops/cpu/layer_norm.cpp.
// extract_patches: one thread per element of the result, so that writes are contiguous. embed_tokens: one warp per token, so that the taps
// are computed once and the row is normalised while it is in the first-level cache.
#include "ops/cuda/layer_norm.cuh"
#include "ops/cuda/resize.cuh"
#include "ops/tap.h"

namespace clip_es::cuda {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / kWarp;

template <class Out>
__global__ void __launch_bounds__(kThreads) extract_patches_kernel(const __grid_constant__ ExtractPatches args) {
  const ExtractPatchesPhoto& photo = args.photos.photo[blockIdx.z];
  const int side = static_cast<int>(args.patch), area = side * side, gw = static_cast<int>(photo.gw);
  const int size = static_cast<int>(args.row);
  if (global_thread() >= photo.gh * gw * size) return;
  const int index = static_cast<int>(global_thread()), patch = index / size, in_patch = index % size;  // 64-bit divisions are slow
  if (in_patch >= 3 * area) return store(static_cast<Out*>(photo.out) + index, 0);
  const int channel = in_patch / area, y = in_patch % area / side, x = in_patch % side;
  const int row = patch / gw * side + y, column = patch % gw * side + x;
  const uint8_t byte = resized_byte(photo.taps, row, photo.in + column * 3 + channel, gw * side * 3);
  store(static_cast<Out*>(photo.out) + index, args.pixel_values[channel * 256 + byte]);
}

// Where the position of a patch is read: four rows of the trained embeddings, and the fractions between them.
struct Corners {
  const float *top_left, *top_right, *bottom_left, *bottom_right;
  float across, down;

  __device__ float at(int c) const {
    const float top = top_left[c] * (1 - across) + top_right[c] * across;
    const float bottom = bottom_left[c] * (1 - across) + bottom_right[c] * across;
    return top * (1 - down) + bottom * down;
  }
};

__device__ Corners corners_of(const EmbedTokens& args, const EmbedTokensPhoto& photo, int patch) {
  const int gw = static_cast<int>(photo.gw);
  const ops::Tap v = ops::bilinear_tap(args.trained_side, photo.gh, patch / gw), h = ops::bilinear_tap(args.trained_side, gw, patch % gw);
  // Row 0 belongs to the class token.
  const auto at = [&](int64_t row, int64_t column) { return args.positions + (1 + row * args.trained_side + column) * args.width; };
  return {at(v.low, h.low), at(v.low, h.high), at(v.high, h.low), at(v.high, h.high), h.fraction, v.fraction};
}

__global__ void __launch_bounds__(kThreads) embed_tokens_kernel(const __grid_constant__ EmbedTokens args) {
  const EmbedTokensPhoto& photo = args.photos.photo[blockIdx.z];
  const int token = static_cast<int>(blockIdx.x) * kWarps + static_cast<int>(threadIdx.x) / kWarp, lane = threadIdx.x % kWarp;
  const int width = static_cast<int>(args.width);
  if (token > photo.gh * photo.gw) return;
  float* x = photo.x + static_cast<int64_t>(token) * width;
  float sum = 0;
  if (token == 0) {
    for (int c = lane; c < width; c += kWarp) sum += x[c] = args.class_embedding[c] + args.positions[c];
  } else {
    const Corners corners = corners_of(args, photo, token - 1);
    const float* embedded = photo.embedded + static_cast<int64_t>(token - 1) * width;
    for (int c = lane; c < width; c += kWarp) sum += x[c] = embedded[c] + corners.at(c);
  }
  const auto [mean, rstd] = moments_of(x, sum, width);
  for (int c = lane; c < width; c += kWarp) x[c] = (x[c] - mean) * rstd * args.gamma[c] + args.beta[c];
}

}  // namespace

int extract_patches(Stream stream, const ExtractPatches& args) {
  const unsigned blocks = most_blocks(args.photos, [&](const auto& photo) { return blocks_for(photo.gh * photo.gw * args.row, kThreads); });
  auto* kernel = args.bfloat16 ? extract_patches_kernel<BFloat16> : extract_patches_kernel<float>;
  return launch(stream, kernel, {blocks, 1, depth_of(args.photos)}, kThreads, args);
}

int embed_tokens(Stream stream, const EmbedTokens& args) {
  const unsigned blocks = most_blocks(args.photos, [](const auto& photo) { return blocks_for(1 + photo.gh * photo.gw, kWarps); });
  return launch(stream, embed_tokens_kernel, {blocks, 1, depth_of(args.photos)}, kThreads, args);
}

}  // namespace clip_es::cuda
