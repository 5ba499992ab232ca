// How many operations a photo queues on the GPU, by stage. Each one costs the host and the GPU some microseconds, so work for several
// photos at once is counted in parts.
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

// Counts the operations that each stage queues.
class CountingDevice : public cuda::CudaDevice {
 public:
  struct Stage {
    const char* name;
    int64_t operations;
  };

  using CudaDevice::CudaDevice;

  std::vector<Stage> stages() const { return stages_; }
  void clear() { stages_.clear(); }

  void preprocess(DeviceContext& c, HostSpan<const Image> images, int64_t max_side, DeviceSpan<float> patches) override {
    count("preprocess", [&] { CudaDevice::preprocess(c, images, max_side, patches); });
  }
  void encode_images(DeviceContext& c, HostSpan<const Grid> grids, DeviceSpan<const float> patches, DeviceSpan<float> tokens,
                     HostSpan<const DeviceSpan<float>> means) override {
    count("blocks", [&] { CudaDevice::encode_images(c, grids, patches, tokens, means); });
  }
  void run_last_block(DeviceContext& c, DeviceSpan<const float> tokens, HostSpan<const DeviceLastBlock> images,
                      HostSpan<const DeviceSpan<float>> means) override {
    count("last block", [&] { CudaDevice::run_last_block(c, tokens, images, means); });
  }
  void softmax_gradcam(DeviceContext& c, HostSpan<const GradCamOfPhoto> photos) override {
    count("GradCAM", [&] { CudaDevice::softmax_gradcam(c, photos); });
  }
  void box_mask(DeviceContext& c, HostSpan<const BoxesOfPhoto> photos) override {
    count("boxes", [&] { CudaDevice::box_mask(c, photos); });
  }
  void refine_cams(DeviceContext& c, HostSpan<const RefinementOfPhoto> photos) override {
    count("affinity", [&] { CudaDevice::refine_cams(c, photos); });
  }
  void make_pseudo_mask(DeviceContext& c, HostSpan<const MaskOfPhoto> photos) override {
    count("mask", [&] { CudaDevice::make_pseudo_mask(c, photos); });
  }

 private:
  template <class Run>
  void count(const char* stage, Run run) {
    const int64_t before = emulator::operations().total();
    run();
    stages_.push_back({stage, emulator::operations().total() - before});
  }

  std::vector<Stage> stages_;
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

// Segments the photos, and notes and returns the operations of one photo.
double operations_per_photo(Segmenter& segmenter, CountingDevice& device, const char* what, std::span<SegmentJob> photos) {
  const auto count = static_cast<double>(photos.size());
  const emulator::Operations before = emulator::operations();
  device.clear();
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
  for (const auto& [stage, operations] : device.stages()) note += print(", %s %.1f", stage, static_cast<double>(operations) / count);
  check::note(note);
  return total;
}

}  // namespace

TEST("CUDA: the photos of a batch share most operations, and have the results of single photos") {
  need_libtorch();
  if (!gpu_is_emulated()) check::skip("only the emulator counts operations");
  auto own_device = std::make_unique<CountingDevice>(test_gpu());
  CountingDevice& device = *own_device;
  Segmenter segmenter(options().golden + kSmallModel, {.precision = Precision::kBFloat16, .threads = 1, .max_side = 0}, nullptr,
                      std::move(own_device));
  check::note(std::to_string(segmenter.model().shape.layers) + " blocks, bfloat16");
  constexpr std::array kEqual = {PhotoSize{48, 33}};
  // In the order in which the engine gets them.
  constexpr std::array kMixed = {PhotoSize{48, 33}, PhotoSize{33, 48}, PhotoSize{64, 33},
                                 PhotoSize{64, 33}, PhotoSize{80, 48}, PhotoSize{80, 48}};
  std::vector<SegmentJob> single = corners(3, kEqual), batch = corners(6, kEqual), large = corners(16, kEqual), mixed = corners(6, kMixed);
  CHECK(operations_per_photo(segmenter, device, "one photo", std::span(single).first(1)) <= 129);
  CHECK(operations_per_photo(segmenter, device, "batch of 6", batch) <= 22);
  CHECK(operations_per_photo(segmenter, device, "batch of 16", large) <= 9);
  CHECK(operations_per_photo(segmenter, device, "batch of 6 of three sizes", mixed) <= 31);
  for (SegmentJob& photo : single) segment(segmenter, {&photo, 1});
  for (size_t i = 0; i < batch.size(); ++i) CHECK_BELOW(largest_difference(batch[i].maps, single[i % single.size()].maps), 5e-5);
}
