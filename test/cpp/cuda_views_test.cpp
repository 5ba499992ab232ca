// Averages over scales and the mirrored photo on the GPU of the CUDA tests.
#include <array>

#include "check.h"
#include "cuda_support.h"
#include "golden.h"
#include "options.h"
#include "segment_job.h"

namespace clip_es::cuda_views_test {

using check::largest_difference;

namespace {

constexpr std::array kScales = {0.75, 1.0};

}  // namespace

TEST("CUDA: maps by GradCAM, averaged over scales and the mirrored photo, and without low scores, are those of the CPU") {
  const std::string model = options().golden + kSmallModel;
  const SegmenterSettings threads{.threads = 2, .max_side = 0};
  Segmenter cpu(model, threads), gpu(model, threads, nullptr, std::make_unique<cuda::CudaDevice>(test_gpu()));
  const Case c = small_case("astronaut_97x128");
  const npy::Photo corner = corner_of(npy::read_ppm(c.folder + "/photo.ppm"), 64, 48);
  for (const bool crf : {false, true}) {
    SegmentSettings settings;
    settings.scales = kScales;
    settings.flip = true;
    if (crf) settings.crf.emplace();
    SegmentJob want(c, corner), got(c, corner);
    run(cpu, want.request(settings));
    run(gpu, got.request(settings));
    CHECK_BELOW(largest_difference(got.maps, want.maps), 1e-4);
    CHECK_BELOW(largest_difference(got.scores, want.scores), 5e-5);
    CHECK(differing_percent(got.mask, {want.mask.begin(), want.mask.end()}) <= 0.1);
    settings.min_score = (*std::ranges::max_element(want.scores) + *std::ranges::min_element(want.scores)) / 2;
    run(cpu, want.request(settings));
    run(gpu, got.request(settings));
    CHECK_BELOW(largest_difference(got.confidence, want.confidence), 1e-4);
    CHECK(differing_percent(got.mask, {want.mask.begin(), want.mask.end()}) <= 0.1);
  }
}

}  // namespace clip_es::cuda_views_test
