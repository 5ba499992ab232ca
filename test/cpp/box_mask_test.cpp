// Compares box masks with the flood fill, which is their naive twin, and with the rules of the released code.
#include "cam/box_mask.h"

#include <algorithm>

#include "check.h"
#include "support.h"

namespace clip_es::box_mask_test {

TEST("box_mask equals the flood fill for grids of 1 x 1, 1 x N and odd sizes, at thresholds from 0 to 1") {
  Random random(8);
  for (const auto& [height, width] : std::vector<std::pair<int64_t, int64_t>>{{1, 1}, {1, 9}, {9, 1}, {2, 2}, {3, 7}, {24, 32}})
    for (const double threshold : {0.0, 0.1, 0.4, 0.7, 0.95, 1.0})
      for (int round = 0; round < 20; ++round) {
        std::vector<float> cam = random.uniform(height * width);
        for (float& value : cam) value = value < 0.3f ? 0 : value * value;
        std::vector<uint8_t> mask(cam.size(), 9);
        box_mask(test_context(), maps_of(cam, {height, width}), {threshold}, mask);
        CHECK(mask == reference::box_mask(cam, height, width, threshold));
      }
}

TEST("the threshold of box_mask is Python's int(threshold * maximum) for every 8-bit maximum") {
  for (const double threshold : {0.05, 0.1, 0.2, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.99})
    for (int maximum = 0; maximum < 256; ++maximum) {
      // The first row holds every value up to the maximum, with a gap after each. So the mask shows which values are above the limit. The
      // second row and the last columns are empty, because box_mask loses the last row and column of a box at the border.
      std::vector<float> cam(2 * 520);
      for (int value = 0; value <= maximum; ++value) cam[2 * value] = static_cast<float>((value + 0.5) / 255.0);
      cam[2 * maximum] = static_cast<float>(std::min((maximum + 0.5) / 255.0, 1.0));
      std::vector<uint8_t> mask(cam.size());
      box_mask(test_context(), maps_of(cam, {2, 520}), {threshold}, mask);
      const auto limit = static_cast<int>(threshold * maximum);
      for (int value = 0; value <= maximum; ++value) CHECK(mask[2 * value] == (value > limit));
    }
}

TEST("cells that touch at a corner form one component, and a box at the bottom or right border loses its last row or column") {
  std::vector<float> cam(5 * 6);
  cam[1 * 6 + 1] = cam[2 * 6 + 2] = cam[3 * 6 + 3] = 1;  // a diagonal
  std::vector<uint8_t> mask(cam.size()), want(cam.size());
  box_mask(test_context(), maps_of(cam, {5, 6}), {}, mask);
  for (const int64_t y : {1, 2, 3})
    for (const int64_t x : {1, 2, 3}) want[y * 6 + x] = 1;
  CHECK(mask == want);

  std::fill(cam.begin(), cam.end(), 0.0f);
  cam[3 * 6 + 4] = cam[4 * 6 + 5] = 1;  // the last row and column
  std::fill(want.begin(), want.end(), uint8_t{0});
  want[3 * 6 + 4] = 1;
  box_mask(test_context(), maps_of(cam, {5, 6}), {}, mask);
  CHECK(mask == want);
}

TEST("a CAM of zeros has no box") {
  for (const double threshold : {0.0, 0.4, 1.0}) {
    std::vector<float> cam(35);
    std::vector<uint8_t> mask(35, 1);
    box_mask(test_context(), maps_of(cam, {5, 7}), {threshold}, mask);
    CHECK(mask == std::vector<uint8_t>(35));
  }
}

}  // namespace clip_es::box_mask_test
