// Compares maps that were refined with the attention-based affinity with those of the naive twin.
#include "cam/attention_affinity.h"

#include <algorithm>
#include <cmath>

#include "check.h"
#include "support.h"

namespace clip_es::attention_affinity_test {

using check::largest_difference;
using reference::Matrix;

TEST("refine_cams equals the affinity matrix times the CAM for 1 to 130 patches, 1, 3 and 20 labels, 0 to 5 rounds") {
  Random random(9);
  double worst = 0;
  for (const int threads : {1, 3})
    for (const int64_t patches : {1, 2, 65, 130})
      for (const int64_t labels : {1, 3, 20})
        for (const int rounds : {0, 1, 3, 5}) {
          std::vector<float> attention = random.uniform(patches * patches);
          for (float& value : attention) value = std::pow(value, 8.0f) / static_cast<float>(patches);
          std::vector<float> cams = random.uniform(labels * patches);
          const std::vector<uint8_t> boxes = random.bytes(labels * patches, 2);
          std::vector<float> refined(cams.size());
          refine_cams(context_with(threads), attention, maps_of(cams, {1, patches}), boxes, {rounds}, maps_of(refined, {1, patches}));
          const Matrix want = reference::refine_cams(Matrix(patches, patches, attention), Matrix(labels, patches, cams),
                                                     Matrix(labels, patches, std::vector<float>(boxes.begin(), boxes.end())), rounds);
          worst = std::max(worst, largest_difference(refined, want.values));
        }
  check::note("largest difference " + std::to_string(worst));
  CHECK_BELOW(worst, 1e-5);
}

TEST("refine_cams returns no NaN when patches attend to nothing or only to themselves, or when almost no patch attends to them") {
  const int64_t n = 9;
  std::vector<float> cam(n, 1.0f);
  const std::vector<uint8_t> box(n, 1);
  for (const float little : {0.0f, 1e-45f, 1e-38f, 1e-30f})
    for (const bool row : {false, true}) {
      std::vector<float> attention(n * n, 0.1f), refined(n);
      for (int64_t i = 0; i < n; ++i) attention[row ? 4 * n + i : i * n + 4] = little;
      refine_cams(test_context(), attention, maps_of(cam, {1, n}), box, {}, maps_of(refined, {1, n}));
      for (const float value : refined) CHECK(std::isfinite(value) && value >= 0);
    }
  std::vector<float> identity(n * n), refined(n);
  for (int64_t i = 0; i < n; ++i) identity[i * n + i] = 0.3f;
  refine_cams(test_context(), identity, maps_of(cam, {1, n}), box, {}, maps_of(refined, {1, n}));
  CHECK_BELOW(largest_difference(refined, cam), 1e-6);
  std::fill(identity.begin(), identity.end(), 0.0f);
  refine_cams(test_context(), identity, maps_of(cam, {1, n}), box, {}, maps_of(refined, {1, n}));
  CHECK(refined == std::vector<float>(n));
}

TEST("attention below the smallest normal float counts as zero, and the other patches keep their values") {
  const int64_t n = 9;
  std::vector<float> cam(n, 1.0f), want(n), got(n);
  const std::vector<uint8_t> box(n, 1);
  for (const bool row : {false, true}) {
    const auto refine = [&](float little, std::vector<float>& refined) {
      std::vector<float> attention(n * n, 0.1f);
      for (int64_t i = 0; i < n; ++i) attention[row ? 4 * n + i : i * n + 4] = little;
      refine_cams(test_context(), attention, maps_of(cam, {1, n}), box, {}, maps_of(refined, {1, n}));
    };
    refine(0, want);
    CHECK(want[0] > 0.1f);
    refine(1e-45f, got);
    CHECK_BELOW(largest_difference(got, want), 1e-6);
  }
}

}  // namespace clip_es::attention_affinity_test
