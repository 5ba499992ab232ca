// The CRF against the sum over all pairs of pixels, its two ways to keep the position kernel's lattice against each other, and what must
// hold whatever the photo is.
#include <algorithm>
#include <cmath>
#include <map>
#include <memory>

#include "check.h"
#include "crf/dense_crf.h"
#include "crf/permutohedral_lattice.h"
#include "crf/position_filter.h"
#include "ops/lattice.h"
#include "support.h"

using namespace clip_es;
using namespace clip_es::crf;
using check::largest_difference;
using reference::Matrix;

namespace {

// The CRF needs no LibTorch, so neither do its tests.
HostContext& context_of(int threads) {
  struct Owner {
    explicit Owner(int count) : pool(count) {}
    ThreadPool pool;
    Arena arena;
    HostContext context{pool, arena};
  };
  static std::map<int, std::unique_ptr<Owner>> owners;
  std::unique_ptr<Owner>& owner = owners[threads];
  if (!owner) owner = std::make_unique<Owner>(threads);
  return owner->context;
}

struct Scene {
  int64_t width, height, labels;
  std::vector<uint8_t> rgb;
  std::vector<float> scores;
};

// Four patches of colour with some noise, and scores that say half the truth about them.
Scene patches(int64_t width, int64_t height, int64_t labels, uint32_t seed = 1) {
  Random random(seed);
  Scene s{width, height, labels, {}, {}};
  const std::vector<float> noise = random.normal(width * height * 3, 3);
  const int colours[4][3] = {{200, 60, 40}, {40, 180, 90}, {60, 70, 200}, {220, 210, 190}};
  for (int64_t i = 0; i < width * height; ++i)
    for (int64_t c = 0; c < 3; ++c) {
      const int patch = (i % width * 2 >= width) + 2 * (i / width * 2 >= height);
      s.rgb.push_back(
          static_cast<uint8_t>(std::clamp(static_cast<float>(colours[patch][c]) + noise[static_cast<size_t>(i * 3 + c)], 0.0f, 255.0f)));
    }
  s.scores = random.uniform(labels * width * height);
  for (int64_t i = 0; i < width * height; ++i) {
    const int64_t patch = (i % width * 2 >= width) + 2 * (i / width * 2 >= height);
    s.scores[static_cast<size_t>(patch % labels * width * height + i)] += 0.3f;
  }
  return s;
}

std::vector<float> run(HostContext& context, const Scene& s, const CrfSettings& settings = {}) {
  std::vector<float> marginals(s.scores.size(), NAN);
  dense_crf(context, {s.rgb.data(), s.width, s.height, s.scores.data(), s.labels}, settings, {.marginals = marginals.data()});
  return marginals;
}

std::vector<double> naive(const Scene& s, const CrfSettings& settings = {}) {
  return reference::dense_crf(s.rgb, s.width, s.height, Matrix(s.labels, s.width * s.height, s.scores), settings).values;
}

double mean_difference(const std::vector<float>& a, const std::vector<double>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += std::abs(static_cast<double>(a[i]) - b[i]);
  return sum / static_cast<double>(a.size());
}

void check_distribution(const std::vector<float>& marginals, int64_t labels) {
  const size_t pixels = marginals.size() / static_cast<size_t>(labels);
  for (size_t i = 0; i < pixels; ++i) {
    double sum = 0;
    for (size_t l = 0; l < static_cast<size_t>(labels); ++l) {
      CHECK(marginals[l * pixels + i] >= 0 && marginals[l * pixels + i] <= 1.000001f);
      sum += static_cast<double>(marginals[l * pixels + i]);
    }
    CHECK_BELOW(std::abs(sum - 1), 1e-5);
  }
}

}  // namespace

TEST("without rounds the marginals are the clipped scores, normalised") {
  for (const int64_t labels : {1, 2, 3, 7, 21, 40}) {
    const Scene s = patches(17, 9, labels);
    CHECK_BELOW(largest_difference(run(context_of(3), s, {.rounds = 0}), naive(s, {.rounds = 0})), 1e-6);
  }
}

TEST("one round of either kernel stays near the sum over all pairs, as near as a lattice's Gaussian is to a Gaussian") {
  for (const int64_t labels : {2, 3, 4, 5, 6, 21, 26, 30}) {
    const Scene s = patches(40, 30, labels);
    for (const CrfSettings settings : {CrfSettings{.rounds = 1, .bilateral_weight = 0}, CrfSettings{.rounds = 1, .position_weight = 0}}) {
      const std::vector<float> got = run(context_of(3), s, settings);
      check_distribution(got, labels);
      const std::vector<double> want = naive(s, settings);
      CHECK_BELOW(mean_difference(got, want), 0.02);
      CHECK_BELOW(largest_difference(got, want), 0.25);
    }
  }
}

TEST("a colour sigma so small that layers of lattice points are merged filters as well") {
  Scene s = patches(256, 12, 3);  // a ramp from black to white: more than 1024 layers
  for (size_t i = 0; i < s.rgb.size(); ++i) s.rgb[i] = static_cast<uint8_t>(i / 3 % 256);
  const CrfSettings settings{.rounds = 1, .position_weight = 0, .bilateral_colour_sigma = 0.8f};
  const std::vector<float> got = run(context_of(1), s, settings);
  CHECK(run(context_of(3), s, settings) == got);
  const double difference = mean_difference(got, naive(s, settings));
  check::note("mean difference " + std::to_string(difference));
  CHECK_BELOW(difference, 0.0068);  // 0.0070 with the neighbours on one side alone
}

TEST("ten rounds label the patches as the sum over all pairs does") {
  for (const bool released : {false, true})
    for (const int64_t labels : {2, 4, 21}) {
      const Scene s = patches(48, 36, labels);
      const std::vector<float> got = run(context_of(3), s, {.released = released});
      const std::vector<double> want = naive(s, {.released = released});
      const auto pixels = static_cast<size_t>(s.width * s.height);
      size_t same = 0;
      for (size_t i = 0; i < pixels; ++i) {
        size_t a = 0, b = 0;
        for (size_t l = 1; l < static_cast<size_t>(labels); ++l) {
          if (got[l * pixels + i] > got[a * pixels + i]) a = l;
          if (want[l * pixels + i] > want[b * pixels + i]) b = l;
        }
        same += a == b;
      }
      check::note(std::to_string(labels) + " labels: mean difference " + std::to_string(mean_difference(got, want)) + ", same label " +
                  std::to_string(100.0 * static_cast<double>(same) / static_cast<double>(pixels)) + " %");
      CHECK(same * 100 >= pixels * 98);
    }
}

TEST("the position kernel's grid and its hashed lattice are the same filter") {
  Random random(3);
  HostContext& context = context_of(3);
  for (const auto& [width, height] : {std::pair<int64_t, int64_t>{1, 1}, {1, 90}, {130, 1}, {67, 45}, {200, 131}, {1500, 1100}})
    for (const float sigma : {1.0f, 1.7f, 3.0f, 40.0f})
      for (const int64_t channels : {int64_t{1}, int64_t{2}, int64_t{4}, int64_t{20}}) {
        if (width > 1000 && channels > 1) continue;
        Arena::Scope scope(context.arena);
        const std::vector<float> pixels = random.uniform(width * height * channels);
        const auto tiles = cut_into_tiles(context.arena, width, height);
        std::vector<float> got(pixels.size()), want(pixels.size());
        PositionGrid grid;
        CHECK(build_position_grid(context, width, height, sigma, grid));
        normalise_position_grid(context, tiles, grid, 2);
        PositionFilter position(context, grid, channels);
        for (const ImageTile& tile : tiles) {
          position.begin(tile, 0);
          for (int64_t y = tile.y; y < tile.y + tile.height; ++y)
            position.slice(y, 0, pixels.data(), got.data() + (y * width + tile.x) * channels);
        }
        Lattice lattice = build_lattice(context, tiles, width, height, {sigma});
        normalise_lattice(context, tiles, width, lattice, 2);
        LatticeFilter filter(context, lattice, tiles, channels);
        const auto each_row = [&](size_t t, const auto& body) {
          for (int64_t y = tiles[t].y; y < tiles[t].y + tiles[t].height; ++y) body(y, (y * width + tiles[t].x) * channels);
        };
        for (size_t t = 0; t < tiles.size(); ++t) {
          const auto tile = static_cast<int64_t>(t);
          each_row(t, [&](int64_t y, int64_t row) { filter.splat(tile, y, 0, pixels.data() + row); });
          filter.end_splat(tile, 0);
        }
        filter.blur();
        for (size_t t = 0; t < tiles.size(); ++t) {
          const auto tile = static_cast<int64_t>(t);
          filter.begin_slice(tile, 0);
          each_row(t, [&](int64_t y, int64_t row) { filter.slice(tile, y, 0, false, want.data() + row); });
        }
        CHECK_BELOW(largest_difference(got, want), 1e-4);
      }
}

TEST("a small sigma, which leaves holes in the grid, falls back to the hashed lattice and still filters") {
  Arena::Scope scope(context_of(3).arena);
  PositionGrid grid;
  CHECK(!build_position_grid(context_of(3), 50, 40, 0.3f, grid));
  const Scene s = patches(50, 40, 3);
  check_distribution(run(context_of(3), s, {.position_sigma = 0.3f}), 3);
  CHECK_BELOW(mean_difference(run(context_of(3), s, {.rounds = 1, .position_sigma = 0.3f, .bilateral_weight = 0}),
                              naive(s, {.rounds = 1, .position_sigma = 0.3f, .bilateral_weight = 0})),
              0.02);
}

TEST("the marginals do not depend on the number of threads, on the run, or on what the memory was used for before") {
  for (const int64_t labels : {2, 3, 5, 21}) {
    const Scene s = patches(203, 131, labels), other = patches(90, 250, 4);
    const std::vector<float> one = run(context_of(1), s);
    for (const int threads : {2, 3}) {
      CHECK(run(context_of(threads), s) == one);
      run(context_of(threads), other);
      CHECK(run(context_of(threads), s) == one);
    }
  }
}

TEST("odd sizes, single rows and columns, and one pixel give distributions") {
  for (const auto& [width, height] : {std::pair<int64_t, int64_t>{1, 1}, {1, 2}, {2, 1}, {1, 300}, {300, 1}, {64, 64}, {65, 63}, {129, 7}})
    for (const int64_t labels : {2, 3, 21}) check_distribution(run(context_of(3), patches(width, height, labels)), labels);
}

TEST("one label is certain, and 255 labels are possible") {
  const Scene one = patches(20, 10, 1);
  CHECK(run(context_of(3), one) == std::vector<float>(200, 1.0f));
  const Scene many = patches(33, 21, 255);
  const std::vector<float> got = run(context_of(3), many);
  check_distribution(got, 255);
  CHECK_BELOW(mean_difference(got, naive(many)), 0.002);
}

TEST("a constant photo and constant scores leave every label as likely as before") {
  for (const uint8_t level : {0, 128, 255}) {
    Scene s{61, 40, 3, std::vector<uint8_t>(61 * 40 * 3, level), std::vector<float>(3 * 61 * 40, 0.0f)};
    for (const float value : run(context_of(3), s)) CHECK_BELOW(std::abs(value - 1.0f / 3), 1e-6);
  }
}

TEST("scores that are 0, above 1 or certain are clipped, never NaN") {
  Scene s = patches(30, 30, 3);
  for (size_t i = 0; i < s.scores.size(); ++i) s.scores[i] = i % 3 == 0 ? 0.0f : i % 3 == 1 ? 1.0f : 7.0f;
  const std::vector<float> got = run(context_of(3), s, {.position_weight = 3000, .bilateral_weight = 4000});
  check_distribution(got, 3);
}

TEST("pure noise, whose every pixel has lattice points of its own, gives distributions") {
  Random random(5);
  Scene s = patches(150, 70, 4);
  s.rgb = random.bytes(static_cast<int64_t>(s.rgb.size()));
  check_distribution(run(context_of(3), s), 4);
}

TEST("a score that is negative, infinite or not a number is refused by name") {
  for (const float bad : {-0.25f, NAN, INFINITY}) {
    Scene s = patches(90, 80, 3);
    s.scores[static_cast<size_t>(2 * 90 * 80 + 71 * 90 + 70)] = bad;
    CHECK_ERROR(run(context_of(3), s), ErrorCode::kInvalidArg, "the score of label 2 at (70, 71)");
  }
}

TEST("settings that mean nothing are refused with their value") {
  const Scene s = patches(8, 8, 2);
  CHECK_ERROR(run(context_of(3), s, {.rounds = -1}), ErrorCode::kInvalidArg, "-1 rounds");
  for (const float bad : {0.0f, -1.0f, NAN, INFINITY}) {
    CHECK_ERROR(run(context_of(3), s, {.position_sigma = bad}), ErrorCode::kInvalidArg, "the position sigma is");
    CHECK_ERROR(run(context_of(3), s, {.bilateral_position_sigma = bad}), ErrorCode::kInvalidArg, "the bilateral position sigma is");
    CHECK_ERROR(run(context_of(3), s, {.bilateral_colour_sigma = bad}), ErrorCode::kInvalidArg, "the bilateral colour sigma is");
  }
  CHECK_ERROR(run(context_of(3), s, {.position_weight = -1}), ErrorCode::kInvalidArg, "the position weight is");
  CHECK_ERROR(run(context_of(3), s, {.bilateral_weight = NAN}), ErrorCode::kInvalidArg, "the bilateral weight is");
  CHECK_ERROR(run(context_of(3), s, {.bilateral_colour_sigma = 1e-9f}), ErrorCode::kInvalidArg, "too small");
  CHECK_ERROR(run(context_of(3), s, {.position_sigma = 1e-18f}), ErrorCode::kInvalidArg, "too small");
  CHECK_ERROR(dense_crf(context_of(3), {s.rgb.data(), 0, 8, s.scores.data(), 2}, {}, {}), ErrorCode::kInvalidArg, "0 x 8");
  CHECK_ERROR(dense_crf(context_of(3), {s.rgb.data(), 8, 8, s.scores.data(), 0}, {}, {}), ErrorCode::kInvalidArg, "0 labels");
}

TEST("once an image of a size has been through, further ones ask the system for no memory") {
  ThreadPool pool(3);
  Arena arena;
  HostContext context{pool, arena};
  const Scene s = patches(180, 120, 5), t = patches(180, 120, 5, 9);
  for (int i = 0; i < 3; ++i) run(context, s), run(context, t);
  const uint64_t before = arena.allocations();
  for (int i = 0; i < 4; ++i) run(context, s), run(context, t);
  CHECK(arena.allocations() == before);
}

TEST("a cancelled CRF stops and leaves its memory ready") {
  std::atomic<bool> cancelled = true;
  ThreadPool pool(2);
  Arena arena;
  HostContext context{pool, arena, &cancelled};
  const Scene s = patches(100, 100, 3);
  bool stopped = false;
  try {
    run(context, s);
  } catch (const Cancelled&) {
    stopped = true;
  }
  CHECK(stopped);
  cancelled = false;
  CHECK(run(context, s) == run(context_of(1), s));
}
