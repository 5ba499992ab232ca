#include "clip/preprocess.h"

#include <algorithm>
#include <cmath>

#include "ops/ops.h"

namespace clip_es {
namespace {

// Copies rows [begin, end) of the image, as RGB, to the same rows of rgb (height, width, 3).
void copy_rows(const Image& image, int64_t begin, int64_t end, uint8_t* rgb) {
  const int64_t step = image.channels;
  const int64_t red = image.blue_first ? 2 : 0, green = step == 1 ? 0 : 1, blue = step == 1 || image.blue_first ? 0 : 2;
  for (int64_t y = begin; y < end; ++y) {
    const uint8_t* from = image.data + y * image.stride();
    uint8_t* to = rgb + 3 * y * image.width;
    for (int64_t x = 0; x < image.width; ++x, from += step, to += 3) {
      to[0] = from[red];
      to[1] = from[green];
      to[2] = from[blue];
    }
  }
}

}  // namespace

PhotoSize reduced_size(const PhotoSize& photo, int64_t max_side) {
  const int64_t longest = std::max(photo.width, photo.height);
  if (max_side == 0 || longest <= max_side) return photo;
  const double factor = static_cast<double>(max_side) / static_cast<double>(longest);
  auto side = [&](int64_t s) { return std::max<int64_t>(std::llround(static_cast<double>(s) * factor), 1); };
  return {side(photo.width), side(photo.height)};
}

void copy_rgb(const Image& image, std::span<uint8_t> rgb) { copy_rows(image, 0, image.height, rgb.data()); }

const uint8_t* to_rgb(HostContext& context, const Image& image) {
  if (image.channels == 3 && image.is_packed()) return image.data;
  const auto rgb = context.arena.take<uint8_t>(3 * image.size().pixels());
  const int64_t smallest_share = std::max<int64_t>((1 << 14) / image.width, 1);
  context.pool.split(image.height, smallest_share, [&](int64_t begin, int64_t end) { copy_rows(image, begin, end, rgb.data()); });
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
