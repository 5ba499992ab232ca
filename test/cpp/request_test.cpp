// Requests: photos and encoded images in one call, and the state after a failed request.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <memory>

#include "cam/embeddings.h"
#include "check.h"
#include "device/cpu/device.h"
#include "golden.h"
#include "options.h"
#include "segment_job.h"
#include "segmenter.h"
#include "support.h"

namespace clip_es::request_test {

namespace {

// Sets a flag while the first photo's CAMs are computed.
class CancellingDevice : public cpu::CpuDevice {
 public:
  CancellingDevice(Arena& arena, std::atomic<bool>& flag) : CpuDevice(arena), flag_(flag) {}
  void softmax_gradcam(DeviceContext& c, HostSpan<const GradCamOfPhoto> photos) override {
    CpuDevice::softmax_gradcam(c, photos);
    flag_ = true;
  }

 private:
  std::atomic<bool>& flag_;
};

Segmenter small_segmenter(int threads = 2) { return Segmenter(options().golden + kSmallModel, {.threads = threads, .max_side = 0}); }

const std::vector<std::string> kPhotos{"astronaut_97x128", "chelsea_150x113", "coffee_176x100"};

}  // namespace

TEST("one call takes photos and encoded images of other sizes, in any order, and gives each the results that it gets in its own call") {
  Segmenter segmenter = small_segmenter();
  for (const bool crf : {false, true}) {
    SegmentSettings settings;
    if (crf) settings.crf.emplace();
    std::vector<SegmentJob> in_one(kPhotos.begin(), kPhotos.end()), single(kPhotos.begin(), kPhotos.end());
    StageTimes times;
    const auto first = segmenter.encode(in_one[0].image(), times), last = segmenter.encode(in_one[2].image(), times);
    CHECK(times.preprocess > 0 && times.encode > 0 && times.gradcam == 0);
    std::vector<Request> requests;
    for (SegmentJob& job : in_one) requests.push_back(job.request(settings));
    for (const auto& [index, encoded] : {std::pair{0, first}, {2, last}}) {
      requests[index].image = {};
      requests[index].encoded = encoded.get();
    }
    segmenter.segment(requests);
    for (size_t i = 0; i < requests.size(); ++i) {
      requests[i].rethrow_failure();
      run(segmenter, single[i].request(settings));
      CHECK(in_one[i].mask == single[i].mask && in_one[i].maps == single[i].maps && in_one[i].scores == single[i].scores);
      CHECK((requests[i].times.encode > 0) == (i == 1));
      CHECK(requests[i].times.gradcam > 0 && (requests[i].times.crf > 0) == crf);
    }
  }
}

TEST("a cancelled and a refused request of a batch write nothing, keep their failure, and can be used again") {
  Segmenter segmenter = small_segmenter();
  std::vector<SegmentJob> jobs(kPhotos.begin(), kPhotos.end());
  std::vector<Request> requests;
  for (SegmentJob& job : jobs) requests.push_back(job.request());
  const std::atomic<bool> yes{true};
  requests[0].cancelled = &yes;
  const std::vector<int64_t> one_row{0, 1};
  requests[2].texts = {std::span(jobs[2].words.rows).first(jobs[2].words.texts.shape[1]), one_row, {}, requests[2].texts.value.first(1)};
  segmenter.segment(requests);
  CHECK(requests[0].failure && jobs[0].is_untouched());
  CHECK(requests[2].failure && jobs[2].is_untouched());
  CHECK(!requests[1].failure && !jobs[1].is_untouched());
  requests[0].cancelled = nullptr;
  segmenter.segment({&requests[0], 1});
  CHECK(!requests[0].failure && !jobs[0].is_untouched());
}

TEST("the flag of the call cancels every photo that is not done, also after all photos are encoded") {
  for (const bool own_flags : {false, true}) {
    Arena arena;
    std::atomic<bool> flag{false};
    Segmenter segmenter(options().golden + kSmallModel, {.threads = 2, .max_side = 0}, nullptr,
                        std::make_unique<CancellingDevice>(arena, flag));
    std::vector<SegmentJob> jobs(kPhotos.begin(), kPhotos.end());
    std::vector<Request> requests;
    for (SegmentJob& job : jobs) requests.push_back(job.request());
    const std::atomic<bool> no{false};
    if (own_flags)
      for (Request& request : requests) request.cancelled = &no;
    segmenter.segment(requests, &flag);
    for (size_t i = 0; i < requests.size(); ++i) {
      const bool is_done = own_flags && i == 0;  // it looks at its own flag
      CHECK((requests[i].failure == nullptr) == is_done);
      CHECK(jobs[i].is_untouched() == !is_done);
      if (is_done) continue;
      bool cancelled = false;
      try {
        requests[i].rethrow_failure();
      } catch (const Cancelled&) {
        cancelled = true;
      }
      CHECK(cancelled);
    }
  }
}

TEST("the times of all stages and photos of a batch add up to no more than the call took") {
  Segmenter segmenter = small_segmenter();
  std::vector<SegmentJob> jobs(kPhotos.begin(), kPhotos.end());
  std::vector<Request> requests;
  for (SegmentJob& job : jobs) requests.push_back(job.request());
  const auto start = std::chrono::steady_clock::now();
  segmenter.segment(requests);
  const double took = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  double sum = 0;
  for (const Request& request : requests) {
    const StageTimes& t = request.times;
    sum += t.preprocess + t.encode + t.gradcam + t.refine + t.mask + t.crf;
  }
  CHECK(sum > 0.5 * took && sum <= took);
}

TEST("a clone shares the model, and a segmenter gives the same bits with fewer of its threads") {
  Segmenter segmenter = small_segmenter(3);
  const auto clone = segmenter.clone(1);
  CHECK(&clone->model() == &segmenter.model());
  SegmentJob want(kPhotos[0]), fewer(kPhotos[0]), cloned(kPhotos[0]);
  run(segmenter, want.request());
  segmenter.set_threads(1);
  run(segmenter, fewer.request());
  run(*clone, cloned.request());
  CHECK(fewer.maps == want.maps && cloned.maps == want.maps);
}

TEST("an image whose embedding is zero or not finite is refused") {
  Random random(41);
  TestModel model = random_last_block(random, {64, 1, Activation::kGelu}, 16);
  std::vector<float> pooled(64, 1.0f);
  const HostLastBlock last{.tokens = 2, .pooled = pooled};
  std::vector<double> embedding(16);
  image_embedding(model.fast, last, embedding);
  double squares = 0;
  for (const double value : embedding) squares += value * value;
  CHECK_BELOW(std::abs(squares - 1), 1e-12);
  pooled[0] = INFINITY;
  CHECK_ERROR(image_embedding(model.fast, last, embedding), ErrorCode::kModelFormat, "no finite embedding");
  pooled[0] = 1;
  std::ranges::fill(model.fast.image_projection, 0.0f);
  CHECK_ERROR(image_embedding(model.fast, last, embedding), ErrorCode::kModelFormat, "no finite embedding");
  const std::vector<float> finite{0.5f, 0.5f}, nan{0.5f, NAN};
  require_finite(finite);
  CHECK_ERROR(require_finite(nan), ErrorCode::kModelFormat, "no finite embedding");
}

TEST("a text whose embedding is zero or not finite is refused, and so is a token outside the vocabulary") {
  const ModelFile& file = model_at(options().golden + kSmallModel);
  const TextTower tower(file);
  Model model = *file.model();
  std::vector<int32_t> tokens(model.shape.context);
  tokens[0] = static_cast<int32_t>(model.shape.vocabulary - 2);  // start
  tokens[1] = 5;
  tokens[2] = static_cast<int32_t>(model.shape.vocabulary - 1);  // end of text
  std::vector<float> embedding(model.shape.embedding);
  encode_text(test_context(), model, tower, tokens, embedding);
  for (const float value : {0.0f, INFINITY}) {
    std::ranges::fill(model.text_projection, value);
    CHECK_ERROR(encode_text(test_context(), model, tower, tokens, embedding), ErrorCode::kModelFormat, "no finite embedding");
  }
  tokens[1] = static_cast<int32_t>(model.shape.vocabulary);
  CHECK_ERROR(encode_text(test_context(), model, tower, tokens, embedding), ErrorCode::kInvalidArg, "outside the model's vocabulary");
}

}  // namespace clip_es::request_test
