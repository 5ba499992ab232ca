// Averages over scales and the mirrored photo, and the threshold of scores: compared with the results that tools/golden/make_views.py
// computed in float64, and with the same photo segmented in one view.
#include <algorithm>
#include <array>
#include <cmath>

#include "check.h"
#include "clip/preprocess.h"
#include "golden.h"
#include "heap.h"
#include "mask/pixel_scores.h"
#include "options.h"
#include "segment_job.h"
#include "support.h"

namespace clip_es::views_test {

using check::largest_difference;

namespace {

constexpr std::array kScales = {0.5, 1.0, 1.5};  // those of make_views.py
constexpr std::array kNearlyFull = {0.999999};   // rounded up to the same patches as 1

SegmentSettings averaged(bool similarity, bool refine) {
  SegmentSettings settings;
  if (similarity) settings.similarity.emplace();
  settings.refine = refine;
  settings.scales = kScales;
  settings.flip = true;
  return settings;
}

Segmenter small_segmenter() { return Segmenter(options().golden + kSmallModel, {.threads = 3, .max_side = 0}); }

bool same_results(const SegmentJob& a, const SegmentJob& b) {
  return a.mask == b.mask && a.confidence == b.confidence && a.maps == b.maps && a.scores == b.scores;
}

SegmentJob segmented(Segmenter& segmenter, const SegmentSettings& settings) {
  SegmentJob job;
  run(segmenter, job.request(settings));
  return job;
}

// The number of pixels with a label's value, for each label.
std::vector<int64_t> pixels_of_labels(const SegmentJob& job) {
  std::vector<int64_t> pixels;
  for (const uint8_t value : job.words.value) pixels.push_back(std::ranges::count(job.mask, value));
  return pixels;
}

// With maps of both kinds, each with and without a CRF.
std::vector<SegmentSettings> all_ways() {
  std::vector<SegmentSettings> ways(4);
  for (size_t i = 0; i < ways.size(); ++i) {
    if (i % 2 == 1) ways[i].similarity.emplace();
    if (i >= 2) ways[i].crf.emplace();
  }
  return ways;
}

}  // namespace

TEST("masks, confidences and scores averaged over scales and the mirrored photo are the golden ones") {
  double worst = 0, worst_share = 0;
  int compared = 0;
  for (const Case& c : cases()) {
    if (!c.has("views/gradcam_scores")) continue;
    Segmenter segmenter(c.model_path, {.threads = 2, .max_side = 0});
    for (const bool similarity : {false, true})
      for (const bool refine : {false, true}) {
        const std::string name = std::string("views/") + (similarity ? "similarity" : "gradcam") + (refine ? "_refined" : "");
        SegmentJob one(c), two(c);
        run(segmenter, one.request(averaged(similarity, refine)));
        worst = std::max({worst, largest_difference(one.confidence, c.golden(name + "_confidence")),
                          largest_difference(one.scores, c.golden(name + "_scores"))});
        worst_share = std::max(worst_share, differing_percent(one.mask, c.golden(name + "_mask")));
        StageTimes times;
        const auto encoded = segmenter.encode(two.image(), times);
        Request request = two.request(averaged(similarity, refine));
        request.image = {};
        request.encoded = encoded.get();
        run(segmenter, request);
        CHECK(same_results(one, two));
        ++compared;
      }
  }
  check::note("largest difference " + number(worst) + ", " + number(worst_share) + " % of a mask's pixels differ");
  CHECK(compared > 0);
  CHECK_BELOW(worst, 1e-4);
  CHECK(worst_share <= 0.1);
}

TEST("labels below the smallest score get no pixels, as in the golden mask of the label with the largest score") {
  double worst = 0, worst_share = 0;
  for (const Case& c : cases()) {
    if (!c.has("views/one_label_mask")) continue;
    Segmenter segmenter(c.model_path, {.threads = 2, .max_side = 0});
    SegmentJob all(c), one(c);
    SegmentSettings settings = averaged(false, true);
    run(segmenter, all.request(settings));
    settings.min_score = *std::ranges::max_element(all.scores);
    run(segmenter, one.request(settings));
    CHECK(one.scores == all.scores);
    worst = std::max(worst, largest_difference(one.confidence, c.golden("views/one_label_confidence")));
    worst_share = std::max(worst_share, differing_percent(one.mask, c.golden("views/one_label_mask")));
  }
  CHECK_BELOW(worst, 1e-4);
  CHECK(worst_share <= 0.1);
}

TEST("one view that is not mirrored gives the bits of the whole photo, with and without a CRF") {
  Segmenter segmenter = small_segmenter();
  for (SegmentSettings& settings : all_ways()) {
    const SegmentJob want = segmented(segmenter, settings);
    settings.scales = kNearlyFull;
    CHECK(settings.is_averaged());
    CHECK(same_results(segmented(segmenter, settings), want));
  }
}

TEST("a scale, and the mirrored photo, change the result") {
  Segmenter segmenter = small_segmenter();
  for (const bool similarity : {false, true}) {
    SegmentSettings settings;
    if (similarity) settings.similarity.emplace();
    const SegmentJob plain = segmented(segmenter, settings);
    settings.scales = kScales;
    const SegmentJob scaled = segmented(segmenter, settings);
    settings.flip = true;
    const SegmentJob both = segmented(segmenter, settings);
    CHECK(plain.maps != scaled.maps && scaled.maps != both.maps);
    CHECK(plain.scores != scaled.scores && scaled.scores != both.scores);
  }
}

TEST("a mirrored photo has the mirrored result if the mirrored view is averaged, up to rounding") {
  Segmenter segmenter = small_segmenter();
  SegmentJob photo, mirrored;  // 150 pixels wide: the resize is symmetric
  for (int64_t y = 0; y < photo.photo.height; ++y)
    for (int64_t x = 0; x < photo.photo.width; ++x)
      std::copy_n(&photo.photo.rgb[3 * (y * photo.photo.width + x)], 3, &mirrored.photo.rgb[3 * ((y + 1) * photo.photo.width - 1 - x)]);
  SegmentSettings settings;
  settings.similarity.emplace();
  settings.flip = true;
  run(segmenter, photo.request(settings));
  run(segmenter, mirrored.request(settings));
  double worst = 0;
  for (int64_t y = 0; y < photo.photo.height; ++y)
    for (int64_t x = 0; x < photo.photo.width; ++x)
      worst = std::max(worst, std::abs(static_cast<double>(photo.confidence[y * photo.photo.width + x]) -
                                       mirrored.confidence[(y + 1) * photo.photo.width - 1 - x]));
  CHECK_BELOW(worst, 1e-5);
}

TEST("labels below the smallest score take no pixels and have an empty map; the others have the pixels of a mask without them") {
  Segmenter segmenter = small_segmenter();
  for (SegmentSettings& settings : all_ways()) {
    const SegmentJob all = segmented(segmenter, settings);
    settings.min_score = 1e-30f;
    CHECK(same_results(segmented(segmenter, settings), all));
    settings.min_score = *std::ranges::max_element(all.scores);
    const SegmentJob one = segmented(segmenter, settings);
    CHECK(one.scores == all.scores);
    const auto pixels = pixels_of_labels(one);
    for (int64_t k = 0; k < std::ssize(pixels); ++k) {
      const auto map = std::span(one.maps).subspan(k * one.mask.size(), one.mask.size());
      const bool kept = one.scores[k] >= settings.min_score;
      CHECK(kept || pixels[k] == 0);
      CHECK(kept == (std::ranges::max(map) > 0));
    }
    settings.min_score = 1;
    const SegmentJob none = segmented(segmenter, settings);
    CHECK(std::ranges::count(none.mask, kBackground) == std::ssize(none.mask));
    if (!settings.similarity) CHECK(std::ranges::count(none.confidence, 1.0f) == std::ssize(none.mask));
  }
}

TEST("with background_below, the background's score is at least this, and only pixels with a larger map keep their label") {
  Segmenter segmenter = small_segmenter();
  for (SegmentSettings& settings : all_ways()) {
    if (settings.crf) continue;
    settings.mask.background_power = 2;
    const SegmentJob usual = segmented(segmenter, settings);
    settings.mask.background_below = 0.6f;
    const SegmentJob limited = segmented(segmenter, settings);
    CHECK(limited.scores == usual.scores && limited.maps == usual.maps);
    int64_t changed = 0, kept = 0;
    for (size_t i = 0; i < usual.mask.size(); ++i) {
      float largest = 0;
      for (size_t at = i; at < usual.maps.size(); at += usual.mask.size()) largest = std::max(largest, usual.maps[at]);
      CHECK(limited.mask[i] == (largest <= 0.6f ? kBackground : usual.mask[i]));
      CHECK(limited.confidence[i] == std::max(usual.confidence[i], 0.6f));
      changed += limited.mask[i] != usual.mask[i];
      kept += limited.mask[i] != kBackground;
    }
    CHECK(changed > 0 && kept > 0);
  }
}

TEST("with a CRF, background_below makes the background larger") {
  Segmenter segmenter = small_segmenter();
  for (SegmentSettings& settings : all_ways()) {
    if (!settings.crf) continue;
    const SegmentJob usual = segmented(segmenter, settings);
    settings.mask.background_below = 0.7f;
    const SegmentJob limited = segmented(segmenter, settings);
    CHECK(std::ranges::count(limited.mask, kBackground) > std::ranges::count(usual.mask, kBackground));
  }
}

TEST("requests with and without views share a batch, and each has the result that it has by itself") {
  Segmenter segmenter = small_segmenter();
  std::vector<SegmentSettings> settings{{}, averaged(false, true), averaged(true, false), {}};
  settings[3].min_score = 0.3f;
  std::vector<SegmentJob> together(settings.size());
  std::vector<Request> batch;
  for (size_t i = 0; i < settings.size(); ++i) batch.push_back(together[i].request(settings[i]));
  segmenter.segment(batch);
  for (size_t i = 0; i < settings.size(); ++i) {
    CHECK(!batch[i].failure && batch[i].times.encode > 0 && batch[i].times.preprocess > 0 && batch[i].times.mask > 0);
    CHECK(same_results(together[i], segmented(segmenter, settings[i])));
  }
}

TEST("views of a known size allocate no workspace and no heap memory") {
  Segmenter segmenter = small_segmenter();
  uint64_t settled = 0, heap = 0;
  for (int round = 0; round < 3; ++round)
    for (const bool similarity : {false, true}) {
      SegmentJob job;
      Request request = job.request(averaged(similarity, true));
      if (round == 2 && !similarity) settled = segmenter.allocations();
      const HeapWatch watch;
      segmenter.segment({&request, 1});
      CHECK(!request.failure);
      if (round == 2 && !similarity) heap += watch.count();
    }
  CHECK(segmenter.allocations() == settled);
  CHECK(heap == 0);
}

TEST("cancelled views write nothing") {
  Segmenter segmenter = small_segmenter();
  const std::atomic<bool> cancelled{true};
  SegmentJob job;
  bool stopped = false;
  try {
    run(segmenter, job.request(averaged(false, true)), &cancelled);
  } catch (const Cancelled&) {
    stopped = true;
  }
  CHECK(stopped && job.is_untouched());
}

TEST("a view has the pixels of the resized photo, mirrored or not, and enters the network without another resize") {
  HostContext& host = test_context();
  const Model& model = *model_at(options().golden + kSmallModel).model();
  const int64_t patch = model.shape.patch, values = model.patch_values();
  SegmentJob job;
  for (const int64_t max_side : {0, 100}) {
    const Grid grid = patch_grid(job.image().size(), patch, max_side);
    std::vector<float> want(grid.patches() * values), got(want.size());
    preprocess(host, model, job.image(), max_side, want);
    Arena::Scope scope(host.arena);
    const Image view = make_view(host, job.image(), {}, patch, max_side);
    preprocess(host, model, view, 0, got);
    CHECK(got == want);
    const Image mirrored = make_view(host, job.image(), {.mirrored = true}, patch, max_side);
    CHECK(mirrored.size() == view.size());
    for (int64_t y = 0; y < view.height; ++y)
      for (int64_t x = 0; x < view.width; ++x)
        CHECK(std::equal(view.data + 3 * (y * view.width + x), view.data + 3 * (y * view.width + x + 1),
                         mirrored.data + 3 * ((y + 1) * view.width - 1 - x)));
  }
  const PhotoSize photo{150, 113};
  const auto size = [&](double scale, int64_t max_side) {
    const Grid grid = patch_grid(photo, 16, max_side, scale);
    return std::array{grid.width, grid.height};
  };
  CHECK((size(1, 0) == std::array<int64_t, 2>{10, 8}));
  CHECK((size(0.5, 0) == std::array<int64_t, 2>{5, 4}));
  CHECK((size(0.5, 100) == std::array<int64_t, 2>{4, 3}));  // of 100 x 75
  CHECK((size(2, 100) == std::array<int64_t, 2>{7, 5}));    // not larger than 100 x 75
  CHECK((size(2, 200) == std::array<int64_t, 2>{13, 10}));  // not larger than 200 x 151
  CHECK((size(0.01, 0) == std::array<int64_t, 2>{1, 1}));
}

TEST("a mean of scores that are at most 1 is at most 1") {
  for (int64_t count = 1; count < 100; ++count) {
    float sum = 0;
    for (int64_t i = 0; i < count; ++i) sum += 1;
    std::vector<float> values{sum};
    divide(values, count);
    CHECK(values[0] == 1);
  }
}

}  // namespace clip_es::views_test
