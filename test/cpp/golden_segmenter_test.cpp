// The segmenter on the golden photos: its results, its allocations, and a cancelled call.
#include <algorithm>
#include <map>
#include <memory>

#include "check.h"
#include "golden_stages.h"
#include "heap.h"
#include "options.h"
#include "segment_job.h"

namespace clip_es::golden_segmenter_test {

using check::largest_difference;

TEST("the segmenter returns the golden mask, confidence, maps and scores, in one call or with a separate encode()") {
  double worst = 0, worst_share = 0;
  int skipped = 0, compared = 0;
  for (const Case& c : cases())
    for (const int threads : {1, 3}) {
      static std::map<std::pair<std::string, int>, std::unique_ptr<Segmenter>> segmenters;
      auto& segmenter = segmenters[{c.model_path, threads}];
      if (!segmenter) segmenter = std::make_unique<Segmenter>(c.model_path, SegmenterSettings{.threads = threads, .max_side = 0});
      SegmentJob one(c), two(c);
      run(*segmenter, one.request());
      StageTimes times;
      const auto encoded = segmenter->encode(two.image(), times);
      Request request = two.request();
      request.image = {};
      request.encoded = encoded.get();
      run(*segmenter, request);
      CHECK(one.mask == two.mask && one.confidence == two.confidence && one.maps == two.maps && one.scores == two.scores);

      bool same_boxes = true;
      for (int64_t map = 0; map < one.words.labels(); ++map) same_boxes = same_boxes && has_golden_box(c, threads, map);
      if (!same_boxes) {
        ++skipped;  // a cell on the threshold changes the box and so the map; golden_test.cpp checks these boxes
        continue;
      }
      ++compared;
      std::vector<float> scores = c.golden("probabilities");
      scores.resize(one.scores.size());
      worst = std::max({worst, largest_difference(one.maps, c.golden("refined_full")),
                        largest_difference(one.confidence, c.golden("confidence")), largest_difference(one.scores, scores)});
      worst_share = std::max(worst_share, differing_percent(one.mask, c.golden("mask")));
    }
  check::note("largest difference " + number(worst) + ", " + number(worst_share) + " % of a mask's pixels differ; " +
              std::to_string(compared) + " runs compared, " + std::to_string(skipped) + " skipped because a cell is on the threshold");
  CHECK(compared > 0);
  CHECK_BELOW(worst, 5e-5);
  CHECK(worst_share <= 0.1);
}

TEST("for photos of a known size a segmenter allocates no workspace and no heap memory, and its results do not change") {
  {
    const HeapWatch watch;
    const std::vector<int> asked(7);
    const int* volatile used = asked.data();  // without a use, Clang removes the allocation
    CHECK(used && watch.count() == (HeapWatch::kCounts ? 1 : 0));
  }
  Segmenter segmenter(options().golden + kSmallModel, {.threads = 3});
  uint64_t settled = 0, heap = 0;
  std::map<std::string, std::vector<uint8_t>> first;
  for (int round = 0; round < 4; ++round) {
    for (const Case& c : cases()) {
      if (c.model_path != options().golden + kSmallModel || c.name.find("small/") != 0) continue;
      SegmentJob job(c);
      const auto segment = [&](const SegmentSettings& settings) {
        Request request = job.request(settings);
        const HeapWatch watch;
        run(segmenter, request);
        if (round > 1) heap += watch.count();
      };
      SegmentSettings with_crf;
      with_crf.crf.emplace();
      segment(with_crf);
      segment({});
      if (round == 0) first[c.name] = job.mask;
      CHECK(job.mask == first[c.name]);
    }
    if (round == 1) settled = segmenter.allocations();
  }
  CHECK(first.size() >= 4);
  CHECK(segmenter.allocations() == settled);
  CHECK(heap == 0);
}

TEST("a cancelled segmenter stops, and segments the next photo correctly") {
  Segmenter segmenter(options().golden + kSmallModel, {.threads = 3});
  SegmentJob want, job;
  run(segmenter, want.request());
  const std::atomic<bool> cancelled{true};
  bool stopped = false;
  try {
    run(segmenter, job.request(), &cancelled);
  } catch (const Cancelled&) {
    stopped = true;
  }
  CHECK(stopped && job.is_untouched());
  run(segmenter, job.request());
  CHECK(job.mask == want.mask);
}

}  // namespace clip_es::golden_segmenter_test
