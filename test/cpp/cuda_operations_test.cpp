// How many operations a photo queues on the GPU, by stage. Each one costs the host and the GPU some microseconds, so work for several
// photos at once is counted in parts.
#include <array>
#include <cstdio>
#include <memory>

#include "bench/native/recording_gpu.h"
#include "bench/native/staged_device.h"
#include "check.h"
#include "cuda_support.h"
#include "emulator/control.h"
#include "options.h"
#include "segment_job.h"
#include "segmenter.h"
#include "support.h"

namespace clip_es::cuda_operations_test {

using check::largest_difference;

namespace {

struct StageOperations {
  std::string stage;
  int64_t operations;
  bool operator==(const StageOperations&) const = default;
};

// Corners of golden photos. The sizes repeat if there are fewer sizes than photos.
std::vector<SegmentJob> corners(size_t count, std::span<const PhotoSize> sizes) {
  constexpr std::array kNames = {"astronaut_97x128", "chelsea_150x113", "coffee_176x100"};
  std::vector<SegmentJob> photos;
  for (size_t i = 0; i < count; ++i) {
    const Case c = small_case(kNames[i % kNames.size()]);
    const PhotoSize size = sizes[i % sizes.size()];
    photos.emplace_back(c, corner_of(npy::read_ppm(c.folder + "/photo.ppm"), size.width, size.height));
  }
  return photos;
}

void segment(Segmenter& segmenter, std::span<SegmentJob> photos) {
  std::vector<Request> batch;
  for (SegmentJob& photo : photos) batch.push_back(photo.request());
  segmenter.segment(batch);
  for (const Request& request : batch) request.rethrow_failure();
}

// What the stages of a batch queue on a recording GPU. The model's weights are in the memory of another GPU, which it never reads.
class Recorded {
 public:
  explicit Recorded(const Segmenter& first)
      : segmenter_(first.load().loaded, {.precision = first.precision(), .threads = 1, .max_side = 0},
                   std::make_unique<StagedDevice>(estimate::recording_gpu(), [this](const char* stage, const auto& work) {
                     add("between");
                     work();
                     add(stage);
                   })) {}

  std::vector<StageOperations> operations(std::span<SegmentJob> photos) {
    stages_.clear();
    segment(segmenter_, photos);
    add("between");
    return stages_;
  }

 private:
  void add(const char* stage) {
    int64_t count = 0;
    for (const estimate::Launch& launch : estimate::take_launches()) count += launch.cost.launches;
    if (count > 0) stages_.push_back({stage, count});
  }

  std::vector<StageOperations> stages_;
  Segmenter segmenter_;
};

// Segments the photos, and notes and returns the operations of one photo. The recording GPU must count the same.
double operations_per_photo(Segmenter& segmenter, std::vector<StageOperations>& stages, const char* what, std::span<SegmentJob> photos) {
  const auto count = static_cast<double>(photos.size());
  const emulator::Operations before = emulator::operations();
  stages.clear();
  segment(segmenter, photos);
  const emulator::Operations after = emulator::operations();
  std::array<char, 200> text;
  const auto print = [&](const char* format, auto... values) {
    std::snprintf(text.data(), text.size(), format, values...);
    return std::string(text.data());
  };
  const auto each = [&](int64_t emulator::Operations::*kind) { return static_cast<double>(after.*kind - before.*kind) / count; };
  const double total = static_cast<double>(after.total() - before.total()) / count;
  std::string note = print("%s: %.1f operations a photo: %.1f kernels, %.1f products, %.1f copies, %.1f clears; by stage", what, total,
                           each(&emulator::Operations::kernels), each(&emulator::Operations::products), each(&emulator::Operations::copies),
                           each(&emulator::Operations::clears));
  int64_t in_stages = 0;
  for (const auto& [stage, operations] : stages) {
    note += print(", %s %.1f", stage.c_str(), static_cast<double>(operations) / count);
    in_stages += operations;
  }
  check::note(note);
  CHECK(in_stages == after.total() - before.total());
  std::vector<SegmentJob> again(photos.begin(), photos.end());
  CHECK(Recorded(segmenter).operations(again) == stages);
  return total;
}

}  // namespace

TEST("CUDA: the photos of a batch share most operations, and have the results of single photos") {
  need_libtorch();
  if (!gpu_is_emulated()) check::skip("only the emulator counts operations");
  std::vector<StageOperations> stages;
  auto device = std::make_unique<StagedDevice>(test_gpu(), [&](const char* stage, const auto& work) {
    const int64_t before = emulator::operations().total();
    work();
    stages.push_back({stage, emulator::operations().total() - before});
  });
  Segmenter segmenter(options().golden + kSmallModel, {.precision = Precision::kBFloat16, .threads = 1, .max_side = 0}, nullptr,
                      std::move(device));
  check::note(std::to_string(segmenter.model().shape.layers) + " blocks, bfloat16");
  constexpr std::array kEqual = {PhotoSize{48, 33}};
  // In the order in which the engine gets them.
  constexpr std::array kMixed = {PhotoSize{48, 33}, PhotoSize{33, 48}, PhotoSize{64, 33},
                                 PhotoSize{64, 33}, PhotoSize{80, 48}, PhotoSize{80, 48}};
  std::vector<SegmentJob> single = corners(3, kEqual), batch = corners(6, kEqual), large = corners(16, kEqual), mixed = corners(6, kMixed);
  CHECK(operations_per_photo(segmenter, stages, "one photo", std::span(single).first(1)) <= 122);
  CHECK(operations_per_photo(segmenter, stages, "batch of 6", batch) <= 21);
  CHECK(operations_per_photo(segmenter, stages, "batch of 16", large) <= 8);
  CHECK(operations_per_photo(segmenter, stages, "batch of 6 of three sizes", mixed) <= 27);
  for (SegmentJob& photo : single) segment(segmenter, {&photo, 1});
  for (size_t i = 0; i < batch.size(); ++i) CHECK_BELOW(largest_difference(batch[i].maps, single[i % single.size()].maps), 5e-5);
}

}  // namespace clip_es::cuda_operations_test
