// Batches of photos, and several segmenters that work at the same time.
#include "batch_cases.h"
#include "check.h"
#include "device/cpu/device.h"
#include "heap.h"
#include "options.h"

namespace clip_es::batch_test {

namespace {

std::unique_ptr<Segmenter> make_segmenter() {
  return std::make_unique<Segmenter>(options().golden + kSmallModel, SegmenterSettings{.threads = 2, .max_side = 0});
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

}  // namespace

TEST("a batch of photos of different sizes gives the same maps and masks as one photo at a time, with and without a CRF") {
  for (const bool crf : {false, true}) compare_with_single(*make_segmenter(), 2e-5, crf);
}

TEST("a refused or cancelled photo does not affect the others of its batch, and a batch can be cancelled as a whole") {
  refuse_one_of_a_batch(*make_segmenter());
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

TEST("two segmenters that share a model and run at the same time give the same bits as one segmenter") {
  segment_on_two_threads(*make_segmenter());
}

TEST("batches of known sizes allocate no workspace and no heap memory") {
  const auto segmenter = make_segmenter();
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

}  // namespace clip_es::batch_test
