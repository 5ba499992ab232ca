#include "clip/preprocess.h"

#include <algorithm>
#include <cmath>

#include "ops/ops.h"

namespace clip_es {
PhotoSize reduced_size(int64_t width, int64_t height, int64_t max_side) {
  const int64_t longest = std::max(width, height);
  if (max_side == 0 || longest <= max_side) return {width, height};
  const double factor = static_cast<double>(max_side) / static_cast<double>(longest);
  auto side = [&](int64_t s) { return std::max<int64_t>(std::llround(static_cast<double>(s) * factor), 1); };
  return {side(width), side(height)};
}

const uint8_t* to_rgb(HostContext& context, const Image& image) {
  if (image.channels == 3) return image.data;
  const int64_t pixels = image.width * image.height, step = image.channels;
  const auto rgb = context.arena.take<uint8_t>(static_cast<size_t>(3 * pixels));
  context.pool.split(pixels, 1 << 14, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      for (int64_t c = 0; c < 3; ++c) rgb[static_cast<size_t>(3 * i + c)] = image.data[i * step + (step == 1 ? 0 : c)];
  });
  return rgb.data();
}

Grid patch_grid(int64_t width, int64_t height, int64_t patch, int64_t max_side) {
  const PhotoSize size = reduced_size(width, height, max_side);
  return {(size.height + patch - 1) / patch, (size.width + patch - 1) / patch};
}

void preprocess(HostContext& context, const Model& model, const Image& image, int64_t max_side, float* patches) {
  const int64_t patch = model.shape.patch;
  const Grid grid = patch_grid(image.width, image.height, patch, max_side);
  const PhotoSize size = reduced_size(image.width, image.height, max_side), network{grid.width * patch, grid.height * patch};
  Arena::Scope scope(context.arena);
  auto resize = [&](const uint8_t* from, const PhotoSize& in, const PhotoSize& out) {
    const auto to = context.arena.take<uint8_t>(static_cast<size_t>(3 * out.width * out.height));
    ops::resize_bicubic(context, from, in.width, in.height, out.width, out.height, to.data());
    return to.data();
  };
  const uint8_t* rgb = to_rgb(context, image);
  if (size.width != image.width || size.height != image.height) rgb = resize(rgb, {image.width, image.height}, size);
  rgb = resize(rgb, size, network);
  ops::extract_patches(context, rgb, grid.height, grid.width, patch, model.mean.data(), model.std.data(), patches);
}

}  // namespace clip_es
