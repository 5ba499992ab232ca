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

// The photo as (height, width, 3) in the arena, first reduced, then resized to `size`.
uint8_t* resize(HostContext& context, const Image& image, int64_t max_side, const PhotoSize& size) {
  const auto resize_once = [&](const uint8_t* from, const PhotoSize& in, const PhotoSize& out) {
    const auto to = context.arena.take<uint8_t>(3 * out.pixels());
    ops::resize_bicubic(context, from, in.width, in.height, out.width, out.height, to.data());
    return to.data();
  };
  const PhotoSize reduced = reduced_size(image.size(), max_side);
  const uint8_t* rgb = to_rgb(context, image);
  if (reduced != image.size()) rgb = resize_once(rgb, image.size(), reduced);
  return resize_once(rgb, reduced, size);
}

// Exchanges left and right.
void mirror(HostContext& context, uint8_t* rgb, const PhotoSize& size) {
  context.pool.run(size.height, [&](int64_t y, int) {
    uint8_t* left = rgb + 3 * y * size.width;
    for (uint8_t* right = left + 3 * (size.width - 1); left < right; left += 3, right -= 3) std::swap_ranges(left, left + 3, right);
  });
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

Grid patch_grid(const PhotoSize& photo, int64_t patch, int64_t max_side, double scale) {
  const PhotoSize size = reduced_size(photo, max_side);
  const auto longest = static_cast<double>(std::max(size.width, size.height)), limit = static_cast<double>(max_side);
  const bool too_large = max_side != 0 && scale * longest > limit;
  const auto patches = [&](int64_t side) {
    const double pixels = too_large ? limit * static_cast<double>(side) / longest : scale * static_cast<double>(side);
    return static_cast<int64_t>(std::ceil(pixels / static_cast<double>(patch)));
  };
  return {patches(size.height), patches(size.width)};
}

Image make_view(HostContext& context, const Image& image, const View& view, int64_t patch, int64_t max_side) {
  const Grid grid = patch_grid(image.size(), patch, max_side, view.scale);
  const PhotoSize size{grid.width * patch, grid.height * patch};
  uint8_t* rgb = resize(context, image, max_side, size);
  if (view.mirrored) mirror(context, rgb, size);
  return {rgb, size.width, size.height, 3};
}

void preprocess(HostContext& context, const Model& model, const Image& image, int64_t max_side, HostSpan<float> patches) {
  const int64_t patch = model.shape.patch;
  const Grid grid = patch_grid(image.size(), patch, max_side);
  Arena::Scope scope(context.arena);
  const uint8_t* rgb = resize(context, image, max_side, {grid.width * patch, grid.height * patch});
  ops::extract_patches(context, rgb, grid.height, grid.width, patch, model.mean.data(), model.std.data(), patches.data());
}

}  // namespace clip_es
