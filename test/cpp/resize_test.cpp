// Preprocessing and enlarging: Pillow's bicubic resize, patches, and the bilinear resize.
#include <cmath>
#include <filesystem>
#include <numeric>

#include "check.h"
#include "clip/preprocess.h"
#include "npy.h"
#include "ops/ops.h"
#include "ops/reference/reference.h"
#include "options.h"
#include "support.h"

namespace clip_es::resize_test {

using check::largest_difference;
using reference::Matrix;

namespace {

struct Size {
  int64_t width, height;
};

std::vector<uint8_t> resize(HostContext& context, const std::vector<uint8_t>& image, Size in, Size out) {
  std::vector<uint8_t> result(static_cast<size_t>(3 * out.width * out.height));
  ops::resize_bicubic(context, image.data(), in.width, in.height, out.width, out.height, result.data());
  return result;
}

std::vector<float> enlarge(const std::vector<float>& map, Size in, Size out) {
  std::vector<ops::Tap> vertical(static_cast<size_t>(out.height)), horizontal(static_cast<size_t>(out.width));
  ops::bilinear_taps(in.height, out.height, vertical);
  ops::bilinear_taps(in.width, out.width, horizontal);
  std::vector<float> result(static_cast<size_t>(out.width * out.height));
  for (int64_t y = 0; y < out.height; ++y)
    ops::resize_bilinear_row(map.data(), in.width, vertical[y], horizontal, result.data() + y * out.width);
  return result;
}

}  // namespace

TEST("resize_bicubic gives the same bytes as Pillow when it enlarges, shrinks, changes one side, or starts from one pixel") {
  int cases = 0;
  for (const auto& entry : std::filesystem::directory_iterator(options().golden + "/resize")) {
    std::string path = entry.path().string();
    const size_t suffix = path.rfind("_in.npy");
    if (suffix == std::string::npos) continue;
    const npy::Array in = npy::read(path), want = npy::read(path.replace(suffix, 7, "_out.npy"));
    for (const int threads : {1, 3}) {
      const std::vector<uint8_t> got =
          resize(context_with(threads), in.bytes(), {in.shape[1], in.shape[0]}, {want.shape[1], want.shape[0]});
      if (got != want.bytes()) check::fail(__FILE__, __LINE__, path + " differs by " + std::to_string(largest_difference(got, want.data)));
    }
    CHECK(reference::resize_bicubic(in.bytes(), in.shape[1], in.shape[0], want.shape[1], want.shape[0]) == want.bytes());
    ++cases;
  }
  check::note(std::to_string(cases) + " images");
  CHECK(cases >= 10);
}

TEST("resize_bicubic equals its twin byte for byte at 200 random sizes from 1 to 99") {
  Random random;
  for (int i = 0; i < 200; ++i) {
    const std::vector<uint8_t> draw = random.bytes(4, 99);
    const Size in{draw[0] + 1, draw[1] + 1}, out{draw[2] + 1, draw[3] + 1};
    std::vector<uint8_t> image = random.bytes(3 * in.width * in.height);
    for (size_t p = 0; p < image.size(); p += 3) image[p] = image[p] < 128 ? 0 : 255;  // one channel has hard edges
    if (resize(test_context(), image, in, out) != reference::resize_bicubic(image, in.width, in.height, out.width, out.height))
      check::fail(__FILE__, __LINE__,
                  std::to_string(in.width) + " x " + std::to_string(in.height) + " -> " + std::to_string(out.width) + " x " +
                      std::to_string(out.height));
  }
}

TEST("extract_patches equals its twin for patches of 1, 14 and 32 pixels and grids of 1 x 1, 1 x 7 and 5 x 3") {
  Random random(2);
  const std::vector<float> mean = {0.48145466f, 0.4578275f, 0.40821073f}, std = {0.26862954f, 0.26130258f, 0.27577711f};
  for (const int64_t patch : {1, 14, 32})
    for (const Size grid : {Size{1, 1}, Size{5, 3}, Size{1, 7}}) {
      const std::vector<uint8_t> image = random.bytes(grid.width * grid.height * patch * patch * 3);
      std::vector<float> got(image.size());
      ops::extract_patches(test_context(), image.data(), grid.height, grid.width, patch, mean.data(), std.data(), got.data());
      CHECK_BELOW(largest_difference(got, reference::extract_patches(image, grid.height, grid.width, patch, mean, std).values), 1e-6);
    }
}

TEST("the bilinear resize equals its twin for grids of 1 x 1, 1 x N and odd sizes, enlarged and reduced") {
  Random random(3);
  double worst = 0;
  for (const Size in : {Size{1, 1}, Size{7, 1}, Size{1, 7}, Size{5, 3}, Size{33, 21}})
    for (const Size out : {Size{1, 1}, Size{1, 50}, Size{97, 1}, Size{150, 113}, Size{5, 3}, Size{16, 8}}) {
      const std::vector<float> map = random.uniform(in.width * in.height);
      const Matrix want = reference::resize_bilinear(Matrix(in.height, in.width, map), out.height, out.width);
      worst = std::max(worst, largest_difference(enlarge(map, in, out), want.values));
    }
  check::note("largest difference " + std::to_string(worst));
  CHECK_BELOW(worst, 1e-6);
}

TEST("the bilinear resize keeps a constant map constant, and copies a map if the size stays the same") {
  Random random(4);
  for (const float value : enlarge(std::vector<float>(15, 0.7f), {5, 3}, {111, 57})) CHECK_BELOW(std::abs(value - 0.7f), 2e-7);
  const std::vector<float> map = random.uniform(15);
  CHECK(enlarge(map, {5, 3}, {5, 3}) == map);
}

TEST("min_max equals its twin, and a constant map becomes zeros, not NaN") {
  Random random(5);
  for (const int64_t count : {1, 2, 65, 1000}) {
    std::vector<float> map = random.normal(count, 3);
    const std::vector<double> want = reference::min_max({map.begin(), map.end()});
    ops::min_max(map.data(), count);
    CHECK_BELOW(largest_difference(map, want), 1e-6);
  }
  for (const float value : {0.0f, -3.0f, 1e30f}) {
    std::vector<float> map(10, value);
    ops::min_max(map.data(), 10);
    for (const float v : map) CHECK(v == 0);
  }
}

TEST("patch_grid first shrinks a photo to the largest side, never below one pixel, and then rounds up to whole patches") {
  auto is = [](const Grid& grid, int64_t height, int64_t width) { return grid.height == height && grid.width == width; };
  CHECK(is(patch_grid({1, 1}, 16, 1024), 1, 1));
  CHECK(is(patch_grid({500, 375}, 16, 1024), 24, 32));
  CHECK(is(patch_grid({512, 384}, 16, 1024), 24, 32));
  CHECK(is(patch_grid({513, 385}, 16, 1024), 25, 33));
  CHECK(is(patch_grid({2048, 1000}, 16, 1024), 32, 64));  // 1024 x 500
  CHECK(is(patch_grid({2048, 1000}, 16, 0), 63, 128));
  CHECK(is(patch_grid({100000, 1}, 16, 1024), 1, 64));
}

TEST("preprocess gives the same patches for the grey, RGBA and RGB versions of one photo") {
  Random random(6);
  Model model{};
  model.shape.patch = 14;
  model.mean = {0.4f, 0.5f, 0.6f};
  model.std = {0.2f, 0.3f, 0.4f};
  const int64_t width = 37, height = 23, pixels = width * height;
  for (const int64_t max_side : {0, 20}) {
    const Grid grid = patch_grid({width, height}, 14, max_side);
    auto run = [&](const std::vector<uint8_t>& data, int64_t channels) {
      std::vector<float> patches(static_cast<size_t>(grid.patches() * 3 * 14 * 14));
      preprocess(test_context(), model, {data.data(), width, height, channels}, max_side, patches);
      return patches;
    };
    const std::vector<uint8_t> grey = random.bytes(pixels), rgba = random.bytes(4 * pixels);
    std::vector<uint8_t> grey_rgb, rgb;
    for (const uint8_t value : grey) grey_rgb.insert(grey_rgb.end(), 3, value);
    for (size_t i = 0; i < rgba.size(); i += 4)
      rgb.insert(rgb.end(), rgba.begin() + static_cast<int64_t>(i), rgba.begin() + static_cast<int64_t>(i) + 3);
    CHECK(run(grey, 1) == run(grey_rgb, 3));
    CHECK(run(rgba, 4) == run(rgb, 3));
  }
}

TEST("preprocess gives the same patches for BGRA and for padded rows of grey, RGB, RGBA and BGRA as for packed RGB") {
  Random random(8);
  Model model{};
  model.shape.patch = 14;
  model.mean = {0.4f, 0.5f, 0.6f};
  model.std = {0.2f, 0.3f, 0.4f};
  for (const PhotoSize& size : {PhotoSize{37, 23}, PhotoSize{1, 5}, PhotoSize{28, 14}})
    for (const int64_t channels : {1, 3, 4})
      for (const bool blue_first : {false, true})
        for (const int64_t padding : {0, 1, 64}) {
          if (blue_first && channels != 4) continue;
          const int64_t row_bytes = size.width * channels + padding;
          const std::vector<uint8_t> bytes = random.bytes(row_bytes * size.height - padding);  // none after the last row
          std::vector<uint8_t> rgb;
          for (int64_t y = 0; y < size.height; ++y)
            for (int64_t x = 0; x < size.width; ++x)
              for (int64_t c = 0; c < 3; ++c)
                rgb.push_back(bytes[y * row_bytes + x * channels + (channels == 1 ? 0 : blue_first ? 2 - c : c)]);
          for (const int64_t max_side : {0, 20}) {
            const Grid grid = patch_grid(size, 14, max_side);
            auto run = [&](const Image& image) {
              std::vector<float> patches(static_cast<size_t>(grid.patches() * 3 * 14 * 14));
              preprocess(context_with(3), model, image, max_side, patches);
              return patches;
            };
            CHECK(run({bytes.data(), size.width, size.height, channels, row_bytes, blue_first}) ==
                  run({rgb.data(), size.width, size.height, 3}));
          }
        }
}

TEST("preprocess first shrinks a photo that is larger than max_side, and then resizes it to whole patches, both as Pillow does") {
  Random random(7);
  Model model{};
  model.shape.patch = 16;
  model.mean = {0, 0, 0};
  model.std = {1, 1, 1};
  const std::vector<uint8_t> photo = random.bytes(3 * 90 * 61);
  const Grid grid = patch_grid({90, 61}, 16, 50);  // 50 x 34, then 64 x 48
  CHECK(grid.width == 4 && grid.height == 3);
  const std::vector<uint8_t> reduced = reference::resize_bicubic(photo, 90, 61, 50, 34);
  const Matrix want = reference::extract_patches(reference::resize_bicubic(reduced, 50, 34, 64, 48), 3, 4, 16, model.mean, model.std);
  std::vector<float> got(want.values.size());
  preprocess(test_context(), model, {photo.data(), 90, 61, 3}, 50, got);
  CHECK_BELOW(largest_difference(got, want.values), 1e-6);
}

}  // namespace clip_es::resize_test
