// The marginals of the dense CRF against the naive sum over all pairs of pixels, properties that hold for every photo, and refusals.
#include <algorithm>
#include <cmath>

#include "check.h"
#include "crf_support.h"

namespace clip_es::crf_test {

using check::largest_difference;

TEST("without rounds the marginals are the clipped scores, normalised") {
  for (const int64_t labels : {1, 2, 3, 7, 21, 40}) {
    const Scene s = four_patches(17, 9, labels);
    CHECK_BELOW(largest_difference(marginals_of(context_with(3), s, {.rounds = 0}), naive_marginals(s, {.rounds = 0})), 1e-6);
  }
}

TEST("one round of each kernel is near the sum over all pairs; the difference is that of the lattice from a Gaussian") {
  for (const int64_t labels : {2, 3, 4, 5, 6, 21, 26, 30}) {
    const Scene s = four_patches(28, 20, labels);
    for (const CrfSettings settings : {CrfSettings{.rounds = 1, .bilateral_weight = 0}, CrfSettings{.rounds = 1, .position_weight = 0}}) {
      const std::vector<float> got = marginals_of(context_with(3), s, settings);
      check_distribution(got, labels);
      const std::vector<double> want = naive_marginals(s, settings);
      CHECK_BELOW(mean_difference(got, want), 0.02);
      CHECK_BELOW(largest_difference(got, want), 0.25);
    }
  }
}

TEST("a very small colour sigma, for which layers of lattice points are merged, also filters correctly") {
  Scene s = four_patches(256, 12, 3);  // a ramp from black to white: more than 1024 layers
  for (size_t i = 0; i < s.rgb.size(); ++i) s.rgb[i] = static_cast<uint8_t>(i / 3 % 256);
  const CrfSettings settings{.rounds = 1, .position_weight = 0, .bilateral_colour_sigma = 0.8f};
  const std::vector<float> got = marginals_of(context_with(1), s, settings);
  CHECK(marginals_of(context_with(3), s, settings) == got);
  const double difference = mean_difference(got, naive_marginals(s, settings));
  check::note("mean difference " + std::to_string(difference));
  CHECK_BELOW(difference, 0.0068);  // 0.0070 with the neighbours on one side only
}

TEST("ten rounds give the patches the same labels as the sum over all pairs") {
  for (const bool released : {false, true})
    for (const int64_t labels : {2, 4, 21}) {
      const Scene s = four_patches(36, 27, labels);
      const std::vector<float> got = marginals_of(context_with(3), s, {.released = released});
      const std::vector<double> want = naive_marginals(s, {.released = released});
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
      CHECK(pixels - same <= 14);  // at most 10, where two labels nearly tie
      CHECK_BELOW(mean_difference(got, want), 0.0005);
    }
}

TEST("with released, each channel wraps around below its mean") {
  const int below_mean[3] = {121, 115, 103};  // of R, G, B; the cast of (level - mean) to bytes gives 255, and 0 for the next but one
  for (size_t channel = 0; channel < 3; ++channel) {
    Scene s = four_patches(24, 16, 2);
    for (size_t i = 0; i < s.rgb.size(); ++i) {
      const bool left = i / 3 % 24 < 12;
      s.rgb[i] = i % 3 == channel ? static_cast<uint8_t>(below_mean[channel] + (left ? 0 : 2)) : uint8_t{150};
    }
    for (size_t i = 0; i < s.scores.size(); ++i) s.scores[i] = (i % 24 < 12) == (i < s.scores.size() / 2) ? 0.6f : 0.4f;
    const CrfSettings plain{.rounds = 1, .position_weight = 0}, released{.rounds = 1, .position_weight = 0, .released = true};
    const double near = mean_difference(marginals_of(context_with(2), s, released), naive_marginals(s, released));
    const double far = mean_difference(marginals_of(context_with(2), s, plain), naive_marginals(s, released));
    check::note("mean difference " + std::to_string(near) + ", and " + std::to_string(far) + " without released");
    CHECK_BELOW(near, 0.02);
    CHECK_BELOW(0.05, far);
  }
}

TEST("the marginals do not depend on the number of threads, on the run, or on earlier contents of the memory") {
  for (const int64_t labels : {2, 3, 5, 21}) {
    const Scene s = four_patches(203, 131, labels), other = four_patches(90, 250, 4);
    const std::vector<float> one = marginals_of(context_with(1), s);
    for (const int threads : {2, 3}) {
      CHECK(marginals_of(context_with(threads), s) == one);
      marginals_of(context_with(threads), other);
      CHECK(marginals_of(context_with(threads), s) == one);
    }
  }
}

TEST("odd sizes, single rows and columns, and one pixel give distributions") {
  for (const auto& [width, height] : {std::pair<int64_t, int64_t>{1, 1}, {1, 2}, {2, 1}, {1, 300}, {300, 1}, {64, 64}, {65, 63}, {129, 7}})
    for (const int64_t labels : {2, 3, 21}) check_distribution(marginals_of(context_with(3), four_patches(width, height, labels)), labels);
}

TEST("one label is certain, and 255 labels are possible") {
  const Scene one = four_patches(20, 10, 1);
  CHECK(marginals_of(context_with(3), one) == std::vector<float>(200, 1.0f));
  const Scene many = four_patches(33, 21, 255);
  const std::vector<float> got = marginals_of(context_with(3), many);
  check_distribution(got, 255);
  CHECK_BELOW(mean_difference(got, naive_marginals(many)), 0.002);
}

TEST("a constant photo with constant scores keeps all labels equally likely") {
  for (const uint8_t level : {0, 128, 255}) {
    Scene s{61, 40, 3, std::vector<uint8_t>(61 * 40 * 3, level), std::vector<float>(3 * 61 * 40, 0.0f)};
    for (const float value : marginals_of(context_with(3), s)) CHECK_BELOW(std::abs(value - 1.0f / 3), 1e-6);
  }
}

TEST("scores that are 0, above 1 or certain are clipped, never NaN") {
  Scene s = four_patches(30, 30, 3);
  for (size_t i = 0; i < s.scores.size(); ++i) s.scores[i] = i % 3 == 0 ? 0.0f : i % 3 == 1 ? 1.0f : 7.0f;
  const std::vector<float> got = marginals_of(context_with(3), s, {.position_weight = 3000, .bilateral_weight = 4000});
  check_distribution(got, 3);
}

TEST("without rounds, scores below 1e-5 count as 1e-5 and scores above 1 count as 1") {
  const Scene s{1, 1, 4, {1, 2, 3}, {0, 1e-6f, 2e-5f, 1e-3f}};
  const double sum = 1e-5 + 1e-5 + 2e-5 + 1e-3;
  const std::vector<double> want = {1e-5 / sum, 1e-5 / sum, 2e-5 / sum, 1e-3 / sum};
  const std::vector<float> got = marginals_of(context_with(1), s, {.rounds = 0});
  for (size_t l = 0; l < 3; ++l) CHECK_BELOW(std::abs(static_cast<double>(got[l]) / want[l] - 1), 1e-4);
  const std::vector<float> large = marginals_of(context_with(1), Scene{1, 1, 2, {1, 2, 3}, {7, 0.5f}}, {.rounds = 0});
  CHECK_BELOW(std::abs(large[0] - 2.0f / 3), 1e-6);
}

TEST("a certain last label with large weights stays certain for 6 to 12 labels") {
  for (int64_t labels = 6; labels <= 12; ++labels) {
    Scene s = four_patches(37, 21, labels);
    for (size_t i = 0; i < s.scores.size(); ++i) s.scores[i] = i < s.scores.size() - 37 * 21 ? 0.0f : 1.0f;
    const std::vector<float> got = marginals_of(context_with(2), s, {.bilateral_weight = 1000});
    check_distribution(got, labels);
    for (size_t i = got.size() - 37 * 21; i < got.size(); ++i) CHECK_BELOW(std::abs(got[i] - 1), 1e-6);
  }
}

TEST("rounds change nothing if both weights are 0") {
  for (const int64_t labels : {2, 7}) {
    const Scene s = four_patches(70, 9, labels);
    CHECK(marginals_of(context_with(2), s, {.rounds = 4, .position_weight = 0, .bilateral_weight = 0}) ==
          marginals_of(context_with(2), s, {.rounds = 0}));
  }
}

TEST("pure noise, where pixels share no lattice points, gives distributions") {
  Random random(5);
  Scene s = four_patches(150, 70, 4);
  s.rgb = random.bytes(static_cast<int64_t>(s.rgb.size()));
  check_distribution(marginals_of(context_with(3), s), 4);
}

TEST("a score that is negative, infinite or not a number is refused by name") {
  for (const float bad : {-0.25f, NAN, INFINITY}) {
    Scene s = four_patches(90, 80, 3);
    s.scores[2 * 90 * 80 + 71 * 90 + 70] = bad;
    CHECK_ERROR(marginals_of(context_with(3), s), ErrorCode::kInvalidArg, "the score of label 2 at (70, 71)");
  }
}

TEST("invalid settings, sizes and label counts are refused with their value") {
  const Scene s = four_patches(8, 8, 2);
  CHECK_ERROR(marginals_of(context_with(3), s, {.rounds = -1}), ErrorCode::kInvalidArg, "the number of rounds is -1");
  for (const float bad : {0.0f, -1.0f, NAN, INFINITY}) {
    CHECK_ERROR(marginals_of(context_with(3), s, {.position_sigma = bad}), ErrorCode::kInvalidArg, "the position sigma is");
    CHECK_ERROR(marginals_of(context_with(3), s, {.bilateral_position_sigma = bad}), ErrorCode::kInvalidArg,
                "the bilateral position sigma is");
    CHECK_ERROR(marginals_of(context_with(3), s, {.bilateral_colour_sigma = bad}), ErrorCode::kInvalidArg, "the bilateral colour sigma is");
  }
  CHECK_ERROR(marginals_of(context_with(3), s, {.position_weight = -1}), ErrorCode::kInvalidArg, "the position weight is");
  CHECK_ERROR(marginals_of(context_with(3), s, {.position_weight = INFINITY}), ErrorCode::kInvalidArg, "the position weight is");
  CHECK_ERROR(marginals_of(context_with(3), s, {.bilateral_weight = -1}), ErrorCode::kInvalidArg, "the bilateral weight is");
  CHECK_ERROR(marginals_of(context_with(3), s, {.bilateral_weight = NAN}), ErrorCode::kInvalidArg, "the bilateral weight is");
  CHECK_ERROR(marginals_of(context_with(3), s, {.bilateral_colour_sigma = 1e-9f}), ErrorCode::kInvalidArg, "too small");
  CHECK_ERROR(marginals_of(context_with(3), s, {.position_sigma = 1e-18f}), ErrorCode::kInvalidArg, "too small");
  CHECK_ERROR(dense_crf(context_with(3), {s.rgb.data(), 0, 8, s.scores.data(), 2}, {}, {}), ErrorCode::kInvalidArg, "0 x 8");
  CHECK_ERROR(dense_crf(context_with(3), {s.rgb.data(), 8, 8, s.scores.data(), 0}, {}, {}), ErrorCode::kInvalidArg, "there are 0 labels");
  CHECK_ERROR(dense_crf(context_with(3), {s.rgb.data(), 8, 0, s.scores.data(), 2}, {}, {}), ErrorCode::kInvalidArg, "8 x 0");
  for (const size_t count : {2u, 3u})
    CHECK_ERROR(labelled(s, {}, std::vector<uint8_t>(count, 1)), ErrorCode::kInvalidArg, "mask values were passed for 2 labels; pass 1");
  const std::vector<float> scores(256 * 64, 0.5f);
  CHECK_ERROR(dense_crf(context_with(3), {s.rgb.data(), 8, 8, scores.data(), 256}, {}, {}), ErrorCode::kInvalidArg,
              "there are 256 labels; pass between 1 and 255");
}

TEST("after the first photo of a size, further ones allocate no memory") {
  ThreadPool pool(3);
  Arena arena;
  HostContext context{pool, arena};
  const Scene s = four_patches(180, 120, 5), t = four_patches(180, 120, 5, 9);
  for (int i = 0; i < 3; ++i) marginals_of(context, s), marginals_of(context, t);
  const uint64_t before = arena.allocations();
  for (int i = 0; i < 4; ++i) marginals_of(context, s), marginals_of(context, t);
  CHECK(arena.allocations() == before);
}

TEST("a cancelled CRF stops, and its memory can be used again") {
  std::atomic<bool> cancelled = true;
  ThreadPool pool(2);
  Arena arena;
  HostContext context{pool, arena, &cancelled};
  const Scene s = four_patches(100, 100, 3);
  bool stopped = false;
  try {
    marginals_of(context, s);
  } catch (const Cancelled&) {
    stopped = true;
  }
  CHECK(stopped);
  cancelled = false;
  CHECK(marginals_of(context, s) == marginals_of(context_with(1), s));
}

}  // namespace clip_es::crf_test
