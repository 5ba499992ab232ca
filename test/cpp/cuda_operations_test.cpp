// How many operations a photo queues on the GPU. Each one costs the host and the GPU some microseconds, so work for several photos at once
// is counted in parts.
#include <array>
#include <cstdio>

#include "check.h"
#include "cuda_support.h"
#include "emulator/control.h"
#include "options.h"
#include "segment_job.h"
#include "segmenter.h"
#include "support.h"

using namespace clip_es;
using check::largest_difference;

namespace {

// Photos of equal size, as in a batch of a data set: corners of golden photos.
std::vector<SegmentJob> equal_photos(size_t count) {
  constexpr std::array kNames = {"astronaut_97x128", "chelsea_150x113", "coffee_176x100"};
  std::vector<SegmentJob> photos;
  for (size_t i = 0; i < count; ++i) {
    const Case c = small_case(kNames[i % kNames.size()]);
    photos.emplace_back(c, corner_of(npy::read_ppm(c.folder + "/photo.ppm"), 48, 33));
  }
  return photos;
}

void segment(Segmenter& segmenter, std::span<SegmentJob> photos) {
  std::vector<Request> batch;
  for (SegmentJob& photo : photos) batch.push_back(photo.request());
  segmenter.segment(batch);
  for (const Request& request : batch) request.rethrow_failure();
}

// Segments the photos, and notes and returns the operations of one photo.
double operations_per_photo(Segmenter& segmenter, std::span<SegmentJob> photos) {
  const emulator::Operations before = emulator::operations();
  segment(segmenter, photos);
  const emulator::Operations after = emulator::operations();
  const auto each = [&](int64_t emulator::Operations::*kind) {
    return static_cast<double>(after.*kind - before.*kind) / static_cast<double>(photos.size());
  };
  const double total = static_cast<double>(after.total() - before.total()) / static_cast<double>(photos.size());
  std::array<char, 200> line;
  std::snprintf(line.data(), line.size(), "batch of %zu: %.1f operations a photo: %.1f kernels, %.1f products, %.1f copies, %.1f clears",
                photos.size(), total, each(&emulator::Operations::kernels), each(&emulator::Operations::products),
                each(&emulator::Operations::copies), each(&emulator::Operations::clears));
  check::note(line.data());
  return total;
}

}  // namespace

TEST("CUDA: photos of equal size in a batch share most operations of the image tower, and have the results of single photos") {
  need_libtorch();
  if (!gpu_is_emulated()) check::skip("only the emulator counts operations");
  Segmenter segmenter(options().golden + kSmallModel, {.precision = Precision::kBFloat16, .threads = 1, .max_side = 0}, nullptr,
                      std::make_unique<cuda::CudaDevice>(test_gpu()));
  check::note(std::to_string(segmenter.model().shape.layers) + " blocks, bfloat16");
  std::vector<SegmentJob> single = equal_photos(3), batch = equal_photos(6);
  CHECK(operations_per_photo(segmenter, std::span(single).first(1)) <= 147);
  CHECK(operations_per_photo(segmenter, batch) <= 73);
  for (SegmentJob& photo : single) segment(segmenter, {&photo, 1});
  for (size_t i = 0; i < batch.size(); ++i) CHECK_BELOW(largest_difference(batch[i].maps, single[i % single.size()].maps), 5e-5);
}
