// Compares mask and confidence with the naive twin, which stores the scores of all labels.
#include <cmath>
#include <numeric>

#include "check.h"
#include "mask/pseudo_mask.h"
#include "support.h"

namespace clip_es::mask_test {

using check::largest_difference;
using reference::Matrix;

namespace {

struct MaskResult {
  std::vector<uint8_t> mask;
  std::vector<float> confidence, maps;
};

MaskResult make(HostContext& context, std::vector<float> maps, const Grid& grid, const std::vector<uint8_t>& value, int64_t width,
                int64_t height, const MaskSettings& settings) {
  const auto pixels = static_cast<size_t>(width * height);
  MaskResult r{std::vector<uint8_t>(pixels, 77), std::vector<float>(pixels, NAN), std::vector<float>(pixels * value.size(), NAN)};
  make_pseudo_mask(context, maps_of(maps, grid), value, {width, height}, settings, {r.mask.data(), r.confidence.data(), r.maps.data()});
  return r;
}

// True if float32 rounding can change the label, because the two best scores, or the best score and the limit, are almost equal.
bool undecided(const Matrix& scores, int64_t pixel, double ignore_below) {
  double best = -1, second = -1;
  for (int64_t c = 0; c < scores.rows; ++c) {
    const double score = scores(c, pixel);
    if (score > best) second = best, best = score;
    else second = std::max(second, score);
  }
  return best - second < 1e-5 || std::abs(best - ignore_below) < 1e-5;
}

}  // namespace

TEST("the mask of 1, 3, 20 and 254 labels equals its twin at odd sizes, with several background powers and limits") {
  Random random;
  double worst = 0;
  int64_t pixels = 0, open = 0;
  for (const int64_t labels : {1, 3, 20, 254})
    for (const Grid grid : {Grid{1, 1}, Grid{1, 7}, Grid{5, 1}, Grid{4, 5}})
      for (const MaskSettings settings : {MaskSettings{1, 0}, MaskSettings{0.5f, 0.6f}, MaskSettings{3, 0.45f, 0.65f}})
        for (const int threads : {1, 3}) {
          const int64_t width = 61, height = 37;
          const std::vector<float> maps = random.normal(labels * grid.patches());
          std::vector<uint8_t> value(static_cast<size_t>(labels));
          std::iota(value.begin(), value.end(), uint8_t{1});
          const MaskResult got = make(context_with(threads), maps, grid, value, width, height, settings);
          const reference::PseudoMask want =
              reference::pseudo_mask(Matrix(labels, grid.patches(), maps), grid.height, grid.width, value, width, height,
                                     settings.background_power, settings.ignore_below, settings.background_below);
          worst = std::max(worst, largest_difference(got.confidence, want.confidence));
          const std::vector<double> want_maps(want.scores.values.begin() + width * height, want.scores.values.end());
          worst = std::max(worst, largest_difference(got.maps, want_maps));
          for (int64_t i = 0; i < width * height; ++i) {
            const bool may_differ = undecided(want.scores, i, settings.ignore_below);
            CHECK(may_differ || got.mask[i] == want.mask[i]);
            ++pixels, open += may_differ;
          }
        }
  check::note("largest difference " + std::to_string(worst) + "; " + std::to_string(open) + " of " + std::to_string(pixels) +
              " pixels are too close to decide");
  CHECK_BELOW(worst, 2e-6);
  CHECK(open * 10 < pixels);  // some are open, because several of 254 maps have their maximum in the same cell
}

TEST("mask, confidence and maps do not depend on which of them are requested") {
  Random random(2);
  const Grid grid{3, 4};
  const std::vector<float> maps = random.normal(5 * 12);
  const std::vector<uint8_t> value = {1, 2, 3, 4, 5};
  const MaskResult all = make(test_context(), maps, grid, value, 50, 33, {});
  std::vector<uint8_t> mask(50 * 33);
  std::vector<float> own = maps, confidence(mask.size()), full(5 * mask.size());
  make_pseudo_mask(test_context(), maps_of(own, grid), value, {50, 33}, {}, {mask.data(), nullptr, nullptr});
  CHECK(mask == all.mask);
  own = maps;
  make_pseudo_mask(test_context(), maps_of(own, grid), value, {50, 33}, {}, {nullptr, confidence.data(), nullptr});
  CHECK(confidence == all.confidence);
  own = maps;
  make_pseudo_mask(test_context(), maps_of(own, grid), value, {50, 33}, {}, {nullptr, nullptr, full.data()});
  CHECK(full == all.maps);
}

TEST("for two equal maps the label with the lower index wins, and the mask holds the value of that label") {
  Random random(3);
  const std::vector<float> map = random.uniform(20);
  std::vector<float> maps = map;
  maps.insert(maps.end(), map.begin(), map.end());
  const MaskResult got = make(test_context(), maps, {4, 5}, {42, 7}, 40, 30, {});
  bool found = false;
  for (const uint8_t label : got.mask) {
    CHECK(label == 0 || label == 42);
    found = found || label == 42;
  }
  CHECK(found);
}

TEST("if the background ties with a map, the pixel is background") {
  // min-max divides by 1 + 1e-7, which is 1 + 2^-23 in float32. So this value becomes exactly 0.5, and the background is 0.5, too.
  const float half = 0.5f * (1 + 0x1p-23f);
  const MaskResult got = make(test_context(), {0, half, 1}, {1, 3}, {1}, 3, 1, {});
  CHECK(got.maps[1] == 0.5f && got.confidence[1] == 0.5f);
  CHECK(got.mask == std::vector<uint8_t>({0, 0, 1}));
}

TEST("a pixel where no map is larger than background_below is background, and its background has this score") {
  const float half = 0.5f * (1 + 0x1p-23f);  // becomes exactly 0.5
  for (const float limit : {0.5f, std::nextafter(0.5f, 0.0f)}) {
    const MaskResult got = make(test_context(), {0, half, 1}, {1, 3}, {1}, 3, 1, {8, 0, limit});
    CHECK(got.mask == std::vector<uint8_t>({0, limit == 0.5f ? kBackground : uint8_t{1}, 1}));
    CHECK(got.confidence[0] == 1 && got.confidence[1] == 0.5f);
  }
  Random random(6);
  const std::vector<float> maps = random.uniform(2 * 20);
  const MaskResult usual = make(test_context(), maps, {4, 5}, {1, 2}, 40, 30, {8, 0}),
                   limited = make(test_context(), maps, {4, 5}, {1, 2}, 40, 30, {8, 0, 0.7f});
  CHECK(limited.maps == usual.maps);
  for (size_t i = 0; i < usual.mask.size(); ++i) {
    CHECK(limited.mask[i] == (std::max(usual.maps[i], usual.maps[i + usual.mask.size()]) <= 0.7f ? kBackground : usual.mask[i]));
    CHECK(limited.confidence[i] == std::max(usual.confidence[i], 0.7f));
  }
}

TEST("a background power of 0 makes everything background") {
  CHECK(make(test_context(), {0, 1}, {1, 2}, {1}, 2, 1, {0, 0}).mask == std::vector<uint8_t>({0, 0}));
}

TEST("constant maps give a mask of background with confidence 1, never NaN") {
  for (const float level : {0.0f, 0.5f, -7.0f, 1e30f})
    for (const float power : {0.5f, 1.0f, 2.0f}) {
      const MaskResult got = make(test_context(), std::vector<float>(3 * 6, level), {2, 3}, {1, 2, 3}, 31, 17, {power, 0});
      CHECK(got.mask == std::vector<uint8_t>(31 * 17));
      CHECK(got.confidence == std::vector<float>(31 * 17, 1.0f));
      CHECK(got.maps == std::vector<float>(3 * 31 * 17));
    }
}

TEST("full-size maps and the confidence are between 0 and 1 for every background power") {
  Random random(4);
  for (const float power : {0.0f, 0.3f, 1.0f, 8.0f}) {
    const MaskResult got = make(test_context(), random.normal(3 * 35, 100), {5, 7}, {1, 2, 3}, 123, 77, {power, 0});
    for (const float value : got.maps) CHECK(value >= 0 && value <= 1);
    for (const float value : got.confidence) CHECK(value >= 0 && value <= 1);
  }
}

TEST("ignore_below sets exactly the pixels with lower confidence to 255") {
  Random random(5);
  const std::vector<float> maps = random.uniform(2 * 20);
  const MaskResult sure = make(test_context(), maps, {4, 5}, {1, 2}, 40, 30, {});
  for (const float limit : {0.0f, 0.6f, 0.8f, 1.1f}) {
    const MaskResult got = make(test_context(), maps, {4, 5}, {1, 2}, 40, 30, {1, limit});
    CHECK(got.confidence == sure.confidence);
    for (size_t i = 0; i < got.mask.size(); ++i) CHECK(got.mask[i] == (sure.confidence[i] < limit ? kIgnored : sure.mask[i]));
  }
}

TEST("a score equal to ignore_below is kept") {
  const float half = 0.5f * (1 + 0x1p-23f);  // becomes exactly 0.5, as above
  for (const float limit : {0.5f, std::nextafter(0.5f, 1.0f)}) {
    const MaskResult got = make(test_context(), {0, half, 1}, {1, 3}, {1}, 3, 1, {1, limit});
    CHECK(got.mask == std::vector<uint8_t>({0, limit == 0.5f ? kBackground : kIgnored, 1}));
  }
}

TEST("areas of 1 stay at 1 when maps are enlarged, so that no power of the background is NaN") {
  for (const int64_t columns : {7, 31, 97})
    for (int64_t width = columns; width < 500; width += 6) {
      std::vector<float> maps(static_cast<size_t>(5 * columns), 1e4f);
      maps[0] = 0;
      const MaskResult got = make(test_context(), maps, {5, columns}, {1}, width, 23, {0.5f, 0});
      for (const float value : got.maps) CHECK(value <= 1);
      for (const float value : got.confidence) CHECK(value >= 0 && value <= 1);
    }
}

TEST("the scores of pixels are the enlarged maps, and the background's come from the largest of them") {
  Random random(6);
  const Grid grid{4, 5};
  for (const size_t labels : {1u, 2u, 5u})
    for (const float power : {1.0f, 0.5f}) {
      std::vector<float> maps = random.normal(static_cast<int64_t>(labels) * 20);
      const size_t pixels = 173 * 131;
      const MaskResult want = make(test_context(), maps, grid, std::vector<uint8_t>(labels, 1), 173, 131, {power, 0});
      std::vector<float> scores((labels + 1) * pixels, NAN);
      score_pixels(test_context(), maps_of(maps, grid), {173, 131}, scores.data() + pixels);
      background_from_maps(test_context(), {power, 0}, static_cast<int64_t>(labels), static_cast<int64_t>(pixels), scores.data());
      CHECK(std::equal(want.maps.begin(), want.maps.end(), scores.begin() + static_cast<int64_t>(pixels)));
      for (size_t i = 0; i < pixels; ++i) {
        float largest = 0;
        for (size_t k = 0; k < labels; ++k) largest = std::max(largest, want.maps[k * pixels + i]);
        CHECK(scores[i] == (power == 1 ? 1 - largest : std::pow(1 - largest, power)));
      }
    }
}

}  // namespace clip_es::mask_test
