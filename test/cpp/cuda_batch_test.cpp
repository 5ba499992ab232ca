// The tests of batch_test.cpp on the GPU, and batches in parts.
#include <array>

#include "batch_cases.h"
#include "check.h"
#include "cuda_support.h"
#include "golden.h"
#include "options.h"
#include "support.h"

namespace clip_es::cuda_batch_test {

using check::largest_difference;

namespace {

constexpr std::array kPhotos{"astronaut_97x128", "chelsea_150x113", "coffee_176x100"};

std::unique_ptr<Segmenter> make_segmenter(Precision precision = Precision::kFloat32) {
  return std::make_unique<Segmenter>(options().golden + kSmallModel, SegmenterSettings{.precision = precision, .threads = 2, .max_side = 0},
                                     nullptr, std::make_unique<cuda::CudaDevice>(test_gpu()));
}

}  // namespace

TEST("CUDA: a batch of photos of different sizes gives the same maps and masks as one photo at a time, with a CRF") {
  compare_with_single(*make_segmenter(), 5e-5, true);
}

TEST(
    "CUDA: in bfloat16, where photos with equal numbers of patches share one attention call, a batch gives the same maps and masks as one "
    "photo at a time") {
  compare_with_single(*make_segmenter(Precision::kBFloat16), 5e-5, false);
}

TEST("CUDA: batches of more photos than a launch takes, and batches in the smallest parts, give the results of one photo at a time") {
  const std::string model = options().golden + kSmallModel;
  const SegmenterSettings settings{.threads = 2, .max_side = 40};
  Segmenter usual(model, settings, nullptr, std::make_unique<cuda::CudaDevice>(test_gpu()));
  Segmenter in_parts(model, settings, nullptr, std::make_unique<cuda::CudaDevice>(test_gpu(), cuda::BatchLimits{1, 1, 1}));
  std::vector<SegmentJob> single, many, in_small_parts;
  for (int i = 0; i < 18; ++i) {
    const Case c = small_case(kPhotos[i % 3]);
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

TEST("CUDA: a refused or cancelled photo does not affect the others of its batch, and a batch can be cancelled as a whole") {
  refuse_one_of_a_batch(*make_segmenter());
}

TEST("CUDA: two segmenters that share a model and run at the same time give the same bits as one segmenter") {
  segment_on_two_threads(*make_segmenter());
}

}  // namespace clip_es::cuda_batch_test
