#include "batch_cases.h"

#include <array>
#include <thread>

#include "check.h"
#include "golden.h"
#include "support.h"

using namespace clip_es;
using check::largest_difference;

namespace {

struct Crop {
  const char* name;
  int64_t width, height;
};
constexpr std::array kCrops = {Crop{"astronaut_97x128", 64, 48}, Crop{"chelsea_150x113", 80, 64}, Crop{"coffee_176x100", 64, 80},
                               Crop{"chelsea_150x113_saturated", 33, 20}, Crop{"astronaut_97x128", 80, 97}};

ErrorCode code_of(const Request& request) {
  CHECK(request.failure != nullptr);
  try {
    std::rethrow_exception(request.failure);
  } catch (const Error& error) {
    return error.code;
  }
}

}  // namespace

std::vector<SegmentJob> golden_photos() {
  std::vector<SegmentJob> photos;
  for (const Crop& crop : kCrops) {
    const Case c = small_case(crop.name);
    photos.emplace_back(c, corner_of(npy::read_ppm(c.folder + "/photo.ppm"), crop.width, crop.height));
  }
  return photos;
}

std::vector<Request> requests(std::vector<SegmentJob>& photos, const SegmentSettings& settings) {
  std::vector<Request> all;
  for (SegmentJob& photo : photos) all.push_back(photo.request(settings));
  return all;
}

void run(Segmenter& segmenter, std::span<Request> batch) {
  segmenter.segment(batch);
  for (const Request& request : batch) request.rethrow_failure();
}

bool was_cancelled(const Request& request) {
  try {
    if (request.failure) std::rethrow_exception(request.failure);
  } catch (const Cancelled&) {
    return true;
  }
  return false;
}

void compare_with_single(Segmenter& segmenter, double limit, bool crf) {
  SegmentSettings settings;
  if (crf) settings.crf.emplace();
  std::vector<SegmentJob> in_batch = golden_photos(), one_by_one = golden_photos();
  std::vector<Request> batch = requests(in_batch, settings), single = requests(one_by_one, settings);
  run(segmenter, batch);
  double worst = 0, worst_mask = 0;
  for (size_t i = 0; i < single.size(); ++i) {
    run(segmenter, {&single[i], 1});
    worst = std::max(
        {worst, largest_difference(in_batch[i].maps, one_by_one[i].maps), largest_difference(in_batch[i].scores, one_by_one[i].scores)});
    worst_mask = std::max(worst_mask, differing_percent(in_batch[i].mask, {one_by_one[i].mask.begin(), one_by_one[i].mask.end()}));
    CHECK(batch[i].times.encode > 0 && batch[i].times.gradcam > 0 && (batch[i].times.crf > 0) == crf);
    CHECK(batch[i].times.encode == batch[0].times.encode);
  }
  check::note("largest difference " + number(worst) + "; at most " + number(worst_mask) + " % of a mask's pixels differ");
  CHECK_BELOW(worst, limit);
  CHECK(worst_mask <= 0.1);
}

void refuse_one_of_a_batch(Segmenter& segmenter) {
  std::vector<SegmentJob> photos = golden_photos(), one_by_one = golden_photos();
  std::vector<Request> batch = requests(photos), single = requests(one_by_one);
  const std::vector<int64_t> one_row{0, 1};
  batch[1].texts = {std::span(photos[1].words.rows).first(photos[1].words.texts.shape[1]), one_row, {}, batch[1].texts.value.first(1)};
  const std::atomic<bool> yes{true}, no{false};
  batch[2].cancelled = &yes;
  batch[3].cancelled = &no;
  segmenter.segment(batch, &no);
  CHECK(code_of(batch[1]) == ErrorCode::kInvalidArg);
  CHECK(was_cancelled(batch[2]));
  for (const size_t i : {size_t{0}, size_t{3}, size_t{4}}) {
    CHECK(!batch[i].failure);
    run(segmenter, {&single[i], 1});
    CHECK(differing_percent(photos[i].mask, {one_by_one[i].mask.begin(), one_by_one[i].mask.end()}) <= 0.1);
  }
  std::vector<Request> again = requests(photos);
  segmenter.segment(again, &yes);
  for (const Request& request : again) CHECK(was_cancelled(request));
  segmenter.segment(std::span<Request>{});
}

void segment_on_two_threads(Segmenter& first) {
  const auto second = first.clone(1);
  CHECK(&first.model() == &second->model() && first.device() == second->device());
  const auto some_photos = [] {
    std::vector<SegmentJob> photos = golden_photos();
    photos.erase(photos.begin() + 3, photos.end());
    return photos;
  };
  std::vector<SegmentJob> want = some_photos();
  std::vector<Request> wanted = requests(want);
  for (Request& request : wanted) run(first, {&request, 1});
  const auto work = [&](Segmenter& segmenter, bool& equal) {
    equal = true;
    for (int round = 0; round < 2; ++round) {
      std::vector<SegmentJob> photos = some_photos();
      for (size_t i = 0; i < photos.size(); ++i) {
        Request request = photos[i].request();
        segmenter.segment({&request, 1});
        equal = equal && !request.failure && photos[i].mask == want[i].mask && photos[i].maps == want[i].maps;
      }
    }
  };
  bool equal[2] = {};
  std::thread other(work, std::ref(*second), std::ref(equal[1]));
  work(first, equal[0]);
  other.join();
  CHECK(equal[0] && equal[1]);
}
