#include "clip/preprocess.h"

#include <algorithm>
#include <cmath>

#include "ops/ops.h"

namespace clip_es {

PhotoSize reduced_size(const PhotoSize& photo, int64_t max_side) {
  const int64_t longest = std::max(photo.width, photo.height);
  if (max_side == 0 || longest <= max_side) return photo;
  const double factor = static_cast<double>(max_side) / static_cast<double>(longest);
  auto side = [&](int64_t s) { return std::max<int64_t>(std::llround(static_cast<double>(s) * factor), 1); };
  return {side(photo.width), side(photo.height)};
}

const uint8_t* to_rgb(HostContext& context, const Image& image) {
  if (image.channels == 3) return image.data;
  const int64_t pixels = image.width * image.height, step = image.channels;
  const auto rgb = context.arena.take<uint8_t>(3 * pixels);
  context.pool.split(pixels, 1 << 14, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      for (int64_t c = 0; c < 3; ++c) rgb[3 * i + c] = image.data[i * step + (step == 1 ? 0 : c)];
  });
  return rgb.data();
}

Grid patch_grid(const PhotoSize& photo, int64_t patch, int64_t max_side) {
  const PhotoSize size = reduced_size(photo, max_side);
  return {(size.height + patch - 1) / patch, (size.width + patch - 1) / patch};
}

void preprocess(HostContext& context, const Model& model, const Image& image, int64_t max_side, HostSpan<float> patches) {
  const int64_t patch = model.shape.patch;
  const Grid grid = patch_grid(image.size(), patch, max_side);
  const PhotoSize reduced = reduced_size(image.size(), max_side), network{grid.width * patch, grid.height * patch};
  Arena::Scope scope(context.arena);
  auto resize = [&](const uint8_t* from, const PhotoSize& in, const PhotoSize& out) {
    const auto to = context.arena.take<uint8_t>(3 * out.pixels());
    ops::resize_bicubic(context, from, in.width, in.height, out.width, out.height, to.data());
    return to.data();
  };
  const uint8_t* rgb = to_rgb(context, image);
  if (reduced != image.size()) rgb = resize(rgb, image.size(), reduced);
  rgb = resize(rgb, reduced, network);
  ops::extract_patches(context, rgb, grid.height, grid.width, patch, model.mean.data(), model.std.data(), patches.data());
}

}  // namespace clip_es
