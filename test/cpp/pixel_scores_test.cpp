// The scores of pixels: views are added, labels are kept or dropped, and the mask is made, each against plain loops.
#include "mask/pixel_scores.h"

#include <algorithm>
#include <cmath>

#include "check.h"
#include "core/mask.h"
#include "support.h"

namespace clip_es::pixel_scores_test {

namespace {

constexpr int64_t kLabels = 4;
constexpr PhotoSize kSize{7, 5};

struct Scores {
  std::vector<float> memory;
  PixelScores scores;
  explicit Scores(uint32_t seed) : memory(Random(seed).uniform((kLabels + 1) * kSize.pixels())), scores{memory, kLabels, kSize} {}
};

}  // namespace

TEST("pixel scores have room for the background and the labels, each at its place") {
  Arena::Scope scope(test_context().arena);
  const PixelScores scores = take_scores(test_context(), kLabels, kSize);
  CHECK(scores.labels == kLabels && scores.size == kSize && std::ssize(scores.data) == (kLabels + 1) * kSize.pixels());
  CHECK(scores.background().data() == scores.data.data() && std::ssize(scores.background()) == kSize.pixels());
  for (int64_t k = 0; k < kLabels; ++k)
    CHECK(scores.label(k).data() == scores.data.data() + (k + 1) * kSize.pixels() && std::ssize(scores.label(k)) == kSize.pixels());
}

TEST("the scores of views are added pixel by pixel and divided; a mirrored view is mirrored back first") {
  for (const bool mirrored : {false, true}) {
    Scores one(1), sum(2);
    const Scores first(1), second(2);
    add_scores(test_context(), one.scores, mirrored, sum.scores);
    divide(sum.scores.data, 2);
    for (size_t i = 0; i < sum.memory.size(); ++i) {
      const size_t x = i % kSize.width, from = mirrored ? i - x + kSize.width - 1 - x : i;
      CHECK_BELOW(std::abs(sum.memory[i] - (first.memory[from] + second.memory[i]) / 2), 1e-6);
    }
  }
}

TEST("a label's score is its largest one, and one that is not a number stays") {
  Scores given(3);
  given.memory[2 * kSize.pixels() + 3] = NAN;
  std::vector<float> largest(kLabels, 9);
  largest_scores(test_context(), given.scores, largest);
  for (int64_t k = 0; k < kLabels; ++k) CHECK(k == 1 ? std::isnan(largest[k]) : largest[k] == std::ranges::max(given.scores.label(k)));
}

TEST("labels from the smallest score on are kept together with their bytes, and the maps of the others are 0") {
  const std::vector<float> label_scores{0.5f, 0.4f, 0.7f, 0.1f};
  const std::vector<uint8_t> value{11, 12, 13, 14};
  for (const float least : {0.0f, 0.5f, 0.45f, 0.6f, 0.9f}) {
    Arena::Scope scope(test_context().arena);
    Scores given(4);
    const Scores before(4);
    std::vector<float> maps(kLabels * kSize.pixels(), 9);
    copy_maps(given.scores, label_scores, least, maps.data());
    const KeptLabels kept = keep_labels(test_context(), given.scores, label_scores, least, value);
    int64_t count = 0;
    for (int64_t k = 0; k < kLabels; ++k) {
      const bool is_kept = label_scores[k] >= least;
      for (int64_t i = 0; i < kSize.pixels(); ++i) CHECK(maps[k * kSize.pixels() + i] == (is_kept ? before.scores.label(k)[i] : 0));
      if (!is_kept) continue;
      CHECK(kept.value[count] == value[k] && std::ranges::equal(kept.scores.label(count++), before.scores.label(k)));
    }
    CHECK(kept.scores.labels == count && std::ssize(kept.value) == count && kept.scores.size == kSize);
    CHECK(std::ssize(kept.scores.data) == (count + 1) * kSize.pixels());
    CHECK(std::ranges::equal(kept.scores.background(), before.scores.background()));
  }
}

TEST("a pixel of the mask has the label with the largest score, or the background if it ties, and is ignored below the limit") {
  const std::vector<uint8_t> value{11, 12, 13, 14};
  Scores given(5);
  for (int64_t i = 0; i < 10; ++i) given.memory[i] = given.memory[kSize.pixels() + i] = given.memory[2 * kSize.pixels() + i] = 1;  // ties
  const std::vector<float> before = given.memory;
  std::vector<uint8_t> mask(kSize.pixels(), 77);
  std::vector<float> confidence(kSize.pixels());
  make_score_mask(test_context(), {given.scores, value}, {.ignore_below = 0.6f}, {.mask = mask.data(), .confidence = confidence.data()});
  for (int64_t i = 0; i < kSize.pixels(); ++i) {
    float largest = before[i];
    uint8_t winner = kBackground;
    for (int64_t k = 0; k < kLabels; ++k)
      if (before[(k + 1) * kSize.pixels() + i] > largest) largest = before[(k + 1) * kSize.pixels() + i], winner = value[k];
    CHECK(confidence[i] == largest);
    CHECK(mask[i] == (largest < 0.6f ? kIgnored : winner));
  }
}

}  // namespace clip_es::pixel_scores_test
