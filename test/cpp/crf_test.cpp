// The dense CRF against the naive sum over all pairs of pixels, the position grid against the hashed lattice, and properties that hold for
// every photo.
#include <algorithm>
#include <cmath>
#include <map>
#include <memory>

#include "check.h"
#include "core/mask.h"
#include "crf/dense_crf.h"
#include "crf/permutohedral_lattice.h"
#include "crf/position_filter.h"
#include "crf/reference/dense_crf.h"
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

// Four patches of colour with some noise, and random scores that favour one label in each patch.
Scene patches(int64_t width, int64_t height, int64_t labels, uint32_t seed = 1) {
  Random random(seed);
  Scene s{width, height, labels, {}, {}};
  const std::vector<float> noise = random.normal(width * height * 3, 3);
  const int colours[4][3] = {{200, 60, 40}, {40, 180, 90}, {60, 70, 200}, {220, 210, 190}};
  for (int64_t i = 0; i < width * height; ++i)
    for (int64_t c = 0; c < 3; ++c) {
      const int patch = (i % width * 2 >= width) + 2 * (i / width * 2 >= height);
      s.rgb.push_back(static_cast<uint8_t>(std::clamp(static_cast<float>(colours[patch][c]) + noise[i * 3 + c], 0.0f, 255.0f)));
    }
  s.scores = random.uniform(labels * width * height);
  for (int64_t i = 0; i < width * height; ++i) {
    const int64_t patch = (i % width * 2 >= width) + 2 * (i / width * 2 >= height);
    s.scores[patch % labels * width * height + i] += 0.3f;
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

struct Labelled {
  std::vector<uint8_t> mask;
  std::vector<float> confidence;
};

Labelled label(const Scene& s, const CrfSettings& settings = {}, const std::vector<uint8_t>& value = {}, float ignore_below = 0) {
  const auto pixels = static_cast<size_t>(s.width * s.height);
  Labelled result{std::vector<uint8_t>(pixels, 77), std::vector<float>(pixels, NAN)};
  dense_crf(context_of(3), {s.rgb.data(), s.width, s.height, s.scores.data(), s.labels}, settings,
            {.mask = result.mask.data(), .confidence = result.confidence.data(), .value = value, .ignore_below = ignore_below});
  return result;
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

TEST("one round of either kernel stays near the sum over all pairs, as far as the lattice approximates a Gaussian") {
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
  CHECK_BELOW(difference, 0.0068);  // 0.0070 with the neighbours on one side only
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
      check::note(std::to_string(labels) + " labels: mean difference " + std::to_string(mean_difference(got, want)) + ", other label at " +
                  std::to_string(pixels - same) + " of " + std::to_string(pixels) + " pixels");
      CHECK(pixels - same <= 20);  // at most 17, where two labels nearly tie
      CHECK_BELOW(mean_difference(got, want), 0.0005);
    }
}

TEST("with released, each channel wraps around below its mean") {
  const int below_mean[3] = {121, 115, 103};  // of R, G, B; the cast of (level - mean) to bytes gives 255, and 0 for the next but one
  for (size_t channel = 0; channel < 3; ++channel) {
    Scene s = patches(24, 16, 2);
    for (size_t i = 0; i < s.rgb.size(); ++i) {
      const bool left = i / 3 % 24 < 12;
      s.rgb[i] = i % 3 == channel ? static_cast<uint8_t>(below_mean[channel] + (left ? 0 : 2)) : uint8_t{150};
    }
    for (size_t i = 0; i < s.scores.size(); ++i) s.scores[i] = (i % 24 < 12) == (i < s.scores.size() / 2) ? 0.6f : 0.4f;
    const CrfSettings plain{.rounds = 1, .position_weight = 0}, released{.rounds = 1, .position_weight = 0, .released = true};
    const double near = mean_difference(run(context_of(2), s, released), naive(s, released));
    const double far = mean_difference(run(context_of(2), s, plain), naive(s, released));
    check::note("mean difference " + std::to_string(near) + ", and " + std::to_string(far) + " without released");
    CHECK_BELOW(near, 0.02);
    CHECK_BELOW(0.05, far);
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
        const auto each_row = [&, row_size = width](size_t t, const auto& body) {
          for (int64_t y = tiles[t].y; y < tiles[t].y + tiles[t].height; ++y) body(y, (y * row_size + tiles[t].x) * channels);
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

TEST("a photo too wide for the grid's 16-bit slots is left to the hashed lattice") {
  HostContext& context = context_of(3);
  Arena::Scope scope(context.arena);
  const int64_t widest = 18890, height = 30;
  PositionGrid grid;
  CHECK(!build_position_grid(context, 40000, 40, 1, grid));
  CHECK(!build_position_grid(context, 18910, height, 1, grid));

  CHECK(build_position_grid(context, widest, height, 1, grid));
  Scene s{widest, height, 2, std::vector<uint8_t>(widest * height * 3, 100), {}};
  s.scores = Random(4).uniform(2 * widest * height);
  const CrfSettings settings{.rounds = 1, .bilateral_weight = 0};
  const std::vector<float> wide = run(context, s, settings);
  // The kernel reaches a few pixels. So the last columns give the same marginals when they are a photo on their own, except near the cut.
  const int64_t part = 200;
  Scene end{part, height, 2, std::vector<uint8_t>(part * height * 3, 100), {}};
  for (int64_t row = 0; row < 2 * height; ++row)
    end.scores.insert(end.scores.end(), s.scores.begin() + (row + 1) * widest - part, s.scores.begin() + (row + 1) * widest);
  const std::vector<float> narrow = run(context, end, settings);
  double difference = 0;
  for (int64_t row = 0; row < 2 * height; ++row)
    for (int64_t x = 20; x < part; ++x)
      difference += static_cast<double>(std::abs(narrow[row * part + x] - wide[(row + 1) * widest - part + x]));
  CHECK_BELOW(difference / static_cast<double>(2 * height * (part - 20)), 0.02);  // their position on the lattice differs
}

TEST("a small sigma, which leaves holes in the grid, is left to the hashed lattice") {
  Arena::Scope scope(context_of(3).arena);
  PositionGrid grid;
  CHECK(!build_position_grid(context_of(3), 50, 40, 0.3f, grid));
  const Scene s = patches(50, 40, 3);
  check_distribution(run(context_of(3), s, {.position_sigma = 0.3f}), 3);
  CHECK_BELOW(mean_difference(run(context_of(3), s, {.rounds = 1, .position_sigma = 0.3f, .bilateral_weight = 0}),
                              naive(s, {.rounds = 1, .position_sigma = 0.3f, .bilateral_weight = 0})),
              0.02);
}

TEST("the marginals do not depend on the number of threads, on the run, or on earlier contents of the memory") {
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

TEST("without rounds, scores below 1e-5 count as 1e-5 and scores above 1 count as 1") {
  const Scene s{1, 1, 4, {1, 2, 3}, {0, 1e-6f, 2e-5f, 1e-3f}};
  const double sum = 1e-5 + 1e-5 + 2e-5 + 1e-3;
  const std::vector<double> want = {1e-5 / sum, 1e-5 / sum, 2e-5 / sum, 1e-3 / sum};
  const std::vector<float> got = run(context_of(1), s, {.rounds = 0});
  for (size_t l = 0; l < 3; ++l) CHECK_BELOW(std::abs(static_cast<double>(got[l]) / want[l] - 1), 1e-4);
  const std::vector<float> large = run(context_of(1), Scene{1, 1, 2, {1, 2, 3}, {7, 0.5f}}, {.rounds = 0});
  CHECK_BELOW(std::abs(large[0] - 2.0f / 3), 1e-6);
}

TEST("a certain last label with large weights stays certain for 6 to 12 labels") {
  for (int64_t labels = 6; labels <= 12; ++labels) {
    Scene s = patches(37, 21, labels);
    for (size_t i = 0; i < s.scores.size(); ++i) s.scores[i] = i < s.scores.size() - 37 * 21 ? 0.0f : 1.0f;
    const std::vector<float> got = run(context_of(2), s, {.bilateral_weight = 1000});
    check_distribution(got, labels);
    for (size_t i = got.size() - 37 * 21; i < got.size(); ++i) CHECK_BELOW(std::abs(got[i] - 1), 1e-6);
  }
}

TEST("without weights rounds change nothing") {
  for (const int64_t labels : {2, 7}) {
    const Scene s = patches(70, 9, labels);
    CHECK(run(context_of(2), s, {.rounds = 4, .position_weight = 0, .bilateral_weight = 0}) == run(context_of(2), s, {.rounds = 0}));
  }
}

TEST("equal scores give label 0, with and without rounds and for any number of labels") {
  for (const int64_t labels : {2, 3, 5, 6, 12, 21, 255})
    for (const int rounds : {0, 10})
      for (const float score : {0.0f, 0.3f, 1.0f}) {
        Scene s = patches(23, 6, labels);
        std::fill(s.scores.begin(), s.scores.end(), score);
        const Labelled got = label(s, {.rounds = rounds});
        CHECK(got.mask == std::vector<uint8_t>(23 * 6, kBackground));
        for (const float confidence : got.confidence) CHECK_BELOW(std::abs(confidence - 1.0f / static_cast<float>(labels)), 1e-7);
      }
}

TEST("of labels that tie the lower one wins, also when one of them is the last") {
  for (const int64_t labels : {3, 4, 5, 6, 12, 21})
    for (int64_t first = 0; first + 1 < labels; first += labels / 3)
      for (const float score : {0.3f, 0.7f, 0.9f}) {
        Scene s = patches(7, 3, labels);
        const size_t pixels = 7 * 3;
        for (size_t i = 0; i < s.scores.size(); ++i) s.scores[i] = 0.001f * static_cast<float>(i % pixels);
        for (size_t i = 0; i < pixels; ++i)
          s.scores[static_cast<size_t>(first) * pixels + i] = s.scores[static_cast<size_t>(labels - 1) * pixels + i] = score;
        CHECK(label(s, {.rounds = 0}).mask == std::vector<uint8_t>(pixels, static_cast<uint8_t>(first)));
      }
}

TEST("the mask has each label's byte, and a confidence below the limit, but not at it, is ignored") {
  const Scene s = patches(203, 131, 4);  // more pixels than one thread takes
  const auto pixels = static_cast<size_t>(s.width * s.height);
  const std::vector<uint8_t> value = {9, 200, 7};
  const Labelled plain = label(s), named = label(s, {}, value);
  const std::vector<float> marginals = run(context_of(3), s);
  for (size_t i = 0; i < pixels; ++i) {
    size_t winner = 0;
    for (size_t l = 1; l < 4; ++l)
      if (marginals[l * pixels + i] > marginals[winner * pixels + i]) winner = l;
    CHECK(plain.mask[i] == winner && plain.confidence[i] == marginals[winner * pixels + i]);
    CHECK(named.mask[i] == (winner ? value[winner - 1] : kBackground));
  }
  const float limit = plain.confidence[pixels / 2];
  const Labelled limited = label(s, {}, value, limit);
  size_t ignored = 0;
  for (size_t i = 0; i < pixels; ++i) {
    CHECK(limited.mask[i] == (plain.confidence[i] < limit ? kIgnored : named.mask[i]));
    ignored += limited.mask[i] == kIgnored;
  }
  CHECK(limited.confidence == plain.confidence && limited.mask[pixels / 2] != kIgnored && ignored > 0);
}

TEST("each output is the same whether the others are wanted or not") {
  const Scene s = patches(60, 50, 3);
  const Labelled both = label(s);
  const CrfInput input{s.rgb.data(), s.width, s.height, s.scores.data(), s.labels};
  std::vector<uint8_t> mask(both.mask.size());
  std::vector<float> confidence(mask.size()), marginals(s.scores.size());
  dense_crf(context_of(2), input, {}, {.mask = mask.data()});
  dense_crf(context_of(2), input, {}, {.confidence = confidence.data()});
  CHECK(mask == both.mask && confidence == both.confidence);
  std::fill(mask.begin(), mask.end(), uint8_t{77});
  dense_crf(context_of(2), input, {}, {.marginals = marginals.data(), .mask = mask.data()});
  CHECK(mask == both.mask && marginals == run(context_of(2), s));
}

TEST("pure noise, where pixels share no lattice points, gives distributions") {
  Random random(5);
  Scene s = patches(150, 70, 4);
  s.rgb = random.bytes(static_cast<int64_t>(s.rgb.size()));
  check_distribution(run(context_of(3), s), 4);
}

TEST("a score that is negative, infinite or not a number is refused by name") {
  for (const float bad : {-0.25f, NAN, INFINITY}) {
    Scene s = patches(90, 80, 3);
    s.scores[2 * 90 * 80 + 71 * 90 + 70] = bad;
    CHECK_ERROR(run(context_of(3), s), ErrorCode::kInvalidArg, "the score of label 2 at (70, 71)");
  }
}

TEST("invalid settings, sizes and label counts are refused with their value") {
  const Scene s = patches(8, 8, 2);
  CHECK_ERROR(run(context_of(3), s, {.rounds = -1}), ErrorCode::kInvalidArg, "the number of rounds is -1");
  for (const float bad : {0.0f, -1.0f, NAN, INFINITY}) {
    CHECK_ERROR(run(context_of(3), s, {.position_sigma = bad}), ErrorCode::kInvalidArg, "the position sigma is");
    CHECK_ERROR(run(context_of(3), s, {.bilateral_position_sigma = bad}), ErrorCode::kInvalidArg, "the bilateral position sigma is");
    CHECK_ERROR(run(context_of(3), s, {.bilateral_colour_sigma = bad}), ErrorCode::kInvalidArg, "the bilateral colour sigma is");
  }
  CHECK_ERROR(run(context_of(3), s, {.position_weight = -1}), ErrorCode::kInvalidArg, "the position weight is");
  CHECK_ERROR(run(context_of(3), s, {.position_weight = INFINITY}), ErrorCode::kInvalidArg, "the position weight is");
  CHECK_ERROR(run(context_of(3), s, {.bilateral_weight = -1}), ErrorCode::kInvalidArg, "the bilateral weight is");
  CHECK_ERROR(run(context_of(3), s, {.bilateral_weight = NAN}), ErrorCode::kInvalidArg, "the bilateral weight is");
  CHECK_ERROR(run(context_of(3), s, {.bilateral_colour_sigma = 1e-9f}), ErrorCode::kInvalidArg, "too small");
  CHECK_ERROR(run(context_of(3), s, {.position_sigma = 1e-18f}), ErrorCode::kInvalidArg, "too small");
  CHECK_ERROR(dense_crf(context_of(3), {s.rgb.data(), 0, 8, s.scores.data(), 2}, {}, {}), ErrorCode::kInvalidArg, "0 x 8");
  CHECK_ERROR(dense_crf(context_of(3), {s.rgb.data(), 8, 8, s.scores.data(), 0}, {}, {}), ErrorCode::kInvalidArg, "there are 0 labels");
  CHECK_ERROR(dense_crf(context_of(3), {s.rgb.data(), 8, 0, s.scores.data(), 2}, {}, {}), ErrorCode::kInvalidArg, "8 x 0");
  for (const size_t count : {2u, 3u})
    CHECK_ERROR(label(s, {}, std::vector<uint8_t>(count, 1)), ErrorCode::kInvalidArg, "mask values were passed for 2 labels; pass 1");
  const std::vector<float> scores(256 * 64, 0.5f);
  CHECK_ERROR(dense_crf(context_of(3), {s.rgb.data(), 8, 8, scores.data(), 256}, {}, {}), ErrorCode::kInvalidArg,
              "there are 256 labels; pass between 1 and 255");
}

TEST("after the first photo of a size, further ones allocate no memory") {
  ThreadPool pool(3);
  Arena arena;
  HostContext context{pool, arena};
  const Scene s = patches(180, 120, 5), t = patches(180, 120, 5, 9);
  for (int i = 0; i < 3; ++i) run(context, s), run(context, t);
  const uint64_t before = arena.allocations();
  for (int i = 0; i < 4; ++i) run(context, s), run(context, t);
  CHECK(arena.allocations() == before);
}

TEST("a cancelled CRF stops, and its memory can be used again") {
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
