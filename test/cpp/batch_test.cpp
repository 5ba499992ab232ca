// Batches of photos, and several segmenters that work at the same time. The tests run on the CPU and on the GPU of the CUDA tests.
#include <array>
#include <thread>

#include "check.h"
#include "cuda_support.h"
#include "device/cpu/device.h"
#include "golden.h"
#include "heap.h"
#include "options.h"
#include "segment_job.h"
#include "segmenter.h"
#include "support.h"

using namespace clip_es;
using check::largest_difference;

namespace {

// Corners of golden photos. They are small, because the emulated GPU is slow. The second and the third have equal numbers of patches.
struct Crop {
  const char* name;
  int64_t width, height;
};
constexpr std::array kCrops = {Crop{"astronaut_97x128", 64, 48}, Crop{"chelsea_150x113", 80, 64}, Crop{"coffee_176x100", 64, 80},
                               Crop{"chelsea_150x113_saturated", 33, 20}, Crop{"astronaut_97x128", 97, 128}};

std::vector<SegmentJob> golden_photos() {
  std::vector<SegmentJob> photos;
  for (const Crop& crop : kCrops) {
    const Case c = small_case(crop.name);
    photos.emplace_back(c, corner_of(npy::read_ppm(c.folder + "/photo.ppm"), crop.width, crop.height));
  }
  return photos;
}

std::vector<Request> requests(std::vector<SegmentJob>& photos, const SegmentSettings& settings = {}) {
  std::vector<Request> all;
  for (SegmentJob& photo : photos) all.push_back(photo.request(settings));
  return all;
}

std::unique_ptr<Segmenter> make_segmenter(bool cuda, Precision precision = Precision::kFloat32) {
  const SegmenterSettings settings{.precision = precision, .threads = 2, .max_side = 0};
  const std::string model = options().golden + kSmallModel;
  if (!cuda) return std::make_unique<Segmenter>(model, settings);
  return std::make_unique<Segmenter>(model, settings, nullptr, std::make_unique<cuda::CudaDevice>(test_gpu()));
}

void run(Segmenter& segmenter, std::span<Request> batch) {
  segmenter.segment(batch);
  for (const Request& request : batch) request.rethrow_failure();
}

ErrorCode code_of(const Request& request) {
  CHECK(request.failure != nullptr);
  try {
    std::rethrow_exception(request.failure);
  } catch (const Error& error) {
    return error.code;
  }
}

bool was_cancelled(const Request& request) {
  try {
    if (request.failure) std::rethrow_exception(request.failure);
  } catch (const Cancelled&) {
    return true;
  }
  return false;
}

// Segments the photos as one batch and one by one, and compares the results.
void compare_with_single(bool cuda, Precision precision, double limit) {
  const auto segmenter = make_segmenter(cuda, precision);
  for (const bool crf : {false, true}) {
    SegmentSettings settings;
    if (crf) settings.crf.emplace();
    std::vector<SegmentJob> in_batch = golden_photos(), one_by_one = golden_photos();
    std::vector<Request> batch = requests(in_batch, settings), single = requests(one_by_one, settings);
    run(*segmenter, batch);
    double worst = 0, worst_mask = 0;
    for (size_t i = 0; i < single.size(); ++i) {
      run(*segmenter, {&single[i], 1});
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
}

void refuse_one_of_a_batch(bool cuda) {
  const auto segmenter = make_segmenter(cuda);
  std::vector<SegmentJob> photos = golden_photos(), one_by_one = golden_photos();
  std::vector<Request> batch = requests(photos), single = requests(one_by_one);
  const std::vector<int64_t> one_row{0, 1};
  batch[1].texts = {std::span(photos[1].words.rows).first(photos[1].words.texts.shape[1]), one_row, {}, batch[1].texts.value.first(1)};
  const std::atomic<bool> yes{true}, no{false};
  batch[2].cancelled = &yes;
  batch[3].cancelled = &no;
  segmenter->segment(batch, &no);
  CHECK(code_of(batch[1]) == ErrorCode::kInvalidArg);
  CHECK(was_cancelled(batch[2]));
  for (const size_t i : {size_t{0}, size_t{3}, size_t{4}}) {
    CHECK(!batch[i].failure);
    run(*segmenter, {&single[i], 1});
    CHECK(differing_percent(photos[i].mask, {one_by_one[i].mask.begin(), one_by_one[i].mask.end()}) <= 0.1);
  }
  std::vector<Request> again = requests(photos);
  segmenter->segment(again, &yes);
  for (const Request& request : again) CHECK(was_cancelled(request));
  segmenter->segment(std::span<Request>{});
}

// Throws kOutOfMemory for a batch of more than one photo.
class SmallDevice : public cpu::CpuDevice {
 public:
  using CpuDevice::CpuDevice;
  void encode_images(DeviceContext& c, HostSpan<const Grid> grids, DeviceSpan<const float> patches, DeviceSpan<float> tokens,
                     HostSpan<const DeviceSpan<float>> mean_attention) override {
    if (grids.size() > 1) throw Error(ErrorCode::kOutOfMemory, "the test device takes one photo at a time");
    CpuDevice::encode_images(c, grids, patches, tokens, mean_attention);
  }
};

void segment_on_two_threads(bool cuda) {
  const auto first = make_segmenter(cuda);
  const auto second = first->clone(1);
  CHECK(&first->model() == &second->model() && first->device() == second->device());
  std::vector<SegmentJob> want = golden_photos();
  std::vector<Request> wanted = requests(want);
  for (Request& request : wanted) run(*first, {&request, 1});
  const auto work = [&](Segmenter& segmenter, bool& equal) {
    equal = true;
    for (int round = 0; round < 2; ++round) {
      std::vector<SegmentJob> photos = golden_photos();
      for (size_t i = 0; i < photos.size(); ++i) {
        Request request = photos[i].request();
        segmenter.segment({&request, 1});
        equal = equal && !request.failure && photos[i].mask == want[i].mask && photos[i].maps == want[i].maps;
      }
    }
  };
  bool equal[2] = {};
  std::thread other(work, std::ref(*second), std::ref(equal[1]));
  work(*first, equal[0]);
  other.join();
  CHECK(equal[0] && equal[1]);
}

}  // namespace

TEST("a batch of photos of different sizes gives the same maps and masks as one photo at a time, with and without a CRF") {
  compare_with_single(false, Precision::kFloat32, 2e-5);
}
TEST("CUDA: a batch of photos of different sizes gives the same maps and masks as one photo at a time, with and without a CRF") {
  compare_with_single(true, Precision::kFloat32, 5e-5);
}
TEST(
    "CUDA: in bfloat16, where photos with equal numbers of patches share one attention call, a batch gives the same maps and masks as one "
    "photo at a time") {
  compare_with_single(true, Precision::kBFloat16, 5e-5);
}

TEST("CUDA: batches of more photos than a launch takes, and batches in the smallest parts, give the results of one photo at a time") {
  const std::string model = options().golden + kSmallModel;
  const SegmenterSettings settings{.threads = 2, .max_side = 40};
  Segmenter usual(model, settings, nullptr, std::make_unique<cuda::CudaDevice>(test_gpu()));
  Segmenter in_parts(model, settings, nullptr, std::make_unique<cuda::CudaDevice>(test_gpu(), cuda::BatchLimits{1, 1, 1}));
  std::vector<SegmentJob> single, many, in_small_parts;
  for (int i = 0; i < 18; ++i) {
    const Case c = small_case(kCrops[i % 3].name);
    const SegmentJob job(c, corner_of(npy::read_ppm(c.folder + "/photo.ppm"), i % 2 == 0 ? 48 : 33, 33));
    single.push_back(job);
    many.push_back(job);
    if (i < 3) in_small_parts.push_back(job);
  }
  std::vector<Request> one_by_one = requests(single), batch = requests(many), parts = requests(in_small_parts);
  for (Request& request : one_by_one) run(usual, {&request, 1});
  run(usual, batch);
  run(in_parts, parts);
  for (size_t i = 0; i < many.size(); ++i) {
    CHECK_BELOW(largest_difference(many[i].maps, single[i].maps), 5e-5);
    CHECK_BELOW(largest_difference(many[i].scores, single[i].scores), 5e-5);
    CHECK(differing_percent(many[i].mask, {single[i].mask.begin(), single[i].mask.end()}) <= 0.1);
    if (i >= parts.size()) continue;
    CHECK_BELOW(largest_difference(in_small_parts[i].maps, single[i].maps), 5e-5);
    CHECK(differing_percent(in_small_parts[i].mask, {single[i].mask.begin(), single[i].mask.end()}) <= 0.1);
  }
}

TEST("a refused or cancelled photo does not affect the others of its batch, and a batch can be cancelled as a whole") {
  refuse_one_of_a_batch(false);
}
TEST("CUDA: a refused or cancelled photo does not affect the others of its batch, and a batch can be cancelled as a whole") {
  refuse_one_of_a_batch(true);
}

TEST("a batch that does not fit into the memory is computed photo by photo") {
  Arena arena;
  Segmenter small(options().golden + kSmallModel, {.threads = 2, .max_side = 0}, nullptr, std::make_unique<SmallDevice>(arena));
  std::vector<SegmentJob> in_batch = golden_photos(), one_by_one = golden_photos();
  std::vector<Request> batch = requests(in_batch), single = requests(one_by_one);
  const std::atomic<bool> yes{true};
  batch[1].cancelled = &yes;
  small.segment(batch);
  CHECK(was_cancelled(batch[1]));
  for (const size_t i : {size_t{0}, size_t{2}, size_t{3}, size_t{4}}) {
    run(small, {&single[i], 1});
    CHECK(!batch[i].failure && in_batch[i].mask == one_by_one[i].mask && in_batch[i].maps == one_by_one[i].maps);
  }
}

TEST("two segmenters that share a model and run at the same time give the same bits as one segmenter") { segment_on_two_threads(false); }
TEST("CUDA: two segmenters that share a model and run at the same time give the same bits as one segmenter") {
  segment_on_two_threads(true);
}

TEST("batches of known sizes allocate no workspace and no heap memory") {
  const auto segmenter = make_segmenter(false);
  std::vector<SegmentJob> photos = golden_photos();
  uint64_t settled = 0, heap = 0;
  for (int round = 0; round < 4; ++round) {
    std::vector<Request> batch = requests(photos);
    if (round == 2) settled = segmenter->allocations();
    const HeapWatch watch;
    segmenter->segment(std::span(batch).first(round % 2 ? 2 : batch.size()));
    if (round > 1) heap += watch.count();
  }
  CHECK(segmenter->allocations() == settled);
  CHECK(heap == 0);
}
