// The mask and the confidence of the dense CRF: ties, the byte of each label, and ignored pixels.
#include <algorithm>
#include <cmath>

#include "check.h"
#include "core/mask.h"
#include "crf_support.h"

namespace clip_es::crf_mask_test {

TEST("equal scores give label 0, with and without rounds and for any number of labels") {
  for (const int64_t labels : {2, 3, 5, 6, 12, 21, 255})
    for (const int rounds : {0, 10})
      for (const float score : {0.0f, 0.3f, 1.0f}) {
        Scene s = four_patches(23, 6, labels);
        std::fill(s.scores.begin(), s.scores.end(), score);
        const Labelled got = labelled(s, {.rounds = rounds});
        CHECK(got.mask == std::vector<uint8_t>(23 * 6, kBackground));
        for (const float confidence : got.confidence) CHECK_BELOW(std::abs(confidence - 1.0f / static_cast<float>(labels)), 1e-7);
      }
}

TEST("without rounds, the lower of two labels that tie wins, also if the other one is the last label") {
  for (const int64_t labels : {3, 4, 5, 6, 12, 21})
    for (int64_t first = 0; first + 1 < labels; first += labels / 3)
      for (const float score : {0.3f, 0.7f, 0.9f}) {
        Scene s = four_patches(7, 3, labels);
        const size_t pixels = 7 * 3;
        for (size_t i = 0; i < s.scores.size(); ++i) s.scores[i] = 0.001f * static_cast<float>(i % pixels);
        for (size_t i = 0; i < pixels; ++i)
          s.scores[static_cast<size_t>(first) * pixels + i] = s.scores[static_cast<size_t>(labels - 1) * pixels + i] = score;
        CHECK(labelled(s, {.rounds = 0}).mask == std::vector<uint8_t>(pixels, static_cast<uint8_t>(first)));
      }
}

TEST("after ten rounds, labels with equal scores have equal marginals and the lower one wins, if none of them is the last label") {
  for (const int64_t labels : {3, 4, 5, 6, 7, 12, 21, 255}) {
    Scene s = four_patches(40, 30, labels);
    const size_t pixels = s.pixels(), twin = static_cast<size_t>(labels) - 2;
    for (size_t i = 0; i < pixels; ++i) s.scores[twin * pixels + i] = s.scores[i] = 0.5f + 0.5f * s.scores[i];
    const std::vector<float> marginals = marginals_of(context_with(3), s);
    const std::span<const float> all(marginals);
    CHECK(std::ranges::equal(all.first(pixels), all.subspan(twin * pixels, pixels)));
    const Labelled got = labelled(s);
    CHECK(std::ranges::count(got.mask, kBackground) > 0 && std::ranges::count(got.mask, static_cast<uint8_t>(twin)) == 0);
  }
}

TEST("the mask has each label's byte, and pixels are ignored if their confidence is below the limit, but not if it is equal") {
  const Scene s = four_patches(203, 131, 4);  // more pixels than one thread takes
  const auto pixels = static_cast<size_t>(s.width * s.height);
  const std::vector<uint8_t> value = {9, 200, 7};
  const Labelled plain = labelled(s), named = labelled(s, {}, value);
  const std::vector<float> marginals = marginals_of(context_with(3), s);
  for (size_t i = 0; i < pixels; ++i) {
    size_t winner = 0;
    for (size_t l = 1; l < 4; ++l)
      if (marginals[l * pixels + i] > marginals[winner * pixels + i]) winner = l;
    CHECK(plain.mask[i] == winner && plain.confidence[i] == marginals[winner * pixels + i]);
    CHECK(named.mask[i] == (winner ? value[winner - 1] : kBackground));
  }
  const float limit = plain.confidence[pixels / 2];
  const Labelled limited = labelled(s, {}, value, limit);
  size_t ignored = 0;
  for (size_t i = 0; i < pixels; ++i) {
    CHECK(limited.mask[i] == (plain.confidence[i] < limit ? kIgnored : named.mask[i]));
    ignored += limited.mask[i] == kIgnored;
  }
  CHECK(limited.confidence == plain.confidence && limited.mask[pixels / 2] != kIgnored && ignored > 0);
}

TEST("each output is the same whether or not the others are requested") {
  const Scene s = four_patches(60, 50, 3);
  const Labelled both = labelled(s);
  const CrfInput input{s.rgb.data(), s.width, s.height, s.scores.data(), s.labels};
  std::vector<uint8_t> mask(both.mask.size());
  std::vector<float> confidence(mask.size()), marginals(s.scores.size());
  dense_crf(context_with(2), input, {}, {.mask = mask.data()});
  dense_crf(context_with(2), input, {}, {.confidence = confidence.data()});
  CHECK(mask == both.mask && confidence == both.confidence);
  std::fill(mask.begin(), mask.end(), uint8_t{77});
  dense_crf(context_with(2), input, {}, {.marginals = marginals.data(), .mask = mask.data()});
  CHECK(mask == both.mask && marginals == marginals_of(context_with(2), s));
}

}  // namespace clip_es::crf_mask_test
