// The order of the stages and the handling of failures, on a device that can fail and whose timers always show the same time.
#include "segmenter.h"

#include <algorithm>
#include <optional>

#include "check.h"
#include "device/cpu/device.h"
#include "device/cpu/memory.h"
#include "golden.h"
#include "options.h"
#include "segment_job.h"

namespace clip_es::segmenter_test {

using check::largest_difference;

namespace {

constexpr double kSeconds = 12;  // the time that every timer shows

// What the device should do, and what it has done.
struct Script {
  std::optional<Error> encode_failure, finish_failure;
  size_t most_photos = 100, most_gradcams = 100;  // more photos in one call do not fit
  size_t photos_at_once = 1;
  bool nan_probabilities = false;
  std::atomic<bool>* cancel_in_preprocess = nullptr;  // set by preprocess()
  int begins = 0, encoded = 0, refinements = 0;       // refinements: calls
};

class ScriptedDevice : public cpu::CpuDevice {
 public:
  ScriptedDevice(Arena& host, Script& script) : CpuDevice(host), script_(script) {}

  void begin() override {
    ++script_.begins;
    CpuDevice::begin();
  }
  void finish() override {
    if (script_.finish_failure) throw Error(*script_.finish_failure);
  }
  double elapsed(size_t) const override { return kSeconds; }

  size_t photos_at_once() const override { return script_.photos_at_once; }
  void preprocess(DeviceContext& c, HostSpan<const Image> images, int64_t max_side, DeviceSpan<float> patches) override {
    CpuDevice::preprocess(c, images, max_side, patches);
    if (script_.cancel_in_preprocess) *script_.cancel_in_preprocess = true;
  }
  void encode_images(DeviceContext& c, HostSpan<const Grid> grids, DeviceSpan<const float> patches, DeviceSpan<float> tokens,
                     HostSpan<const DeviceSpan<float>> mean_attention) override {
    if (script_.encode_failure) throw Error(*script_.encode_failure);
    if (grids.size() > script_.most_photos) throw Error(ErrorCode::kOutOfMemory, "too many photos");
    CpuDevice::encode_images(c, grids, patches, tokens, mean_attention);
    script_.encoded += static_cast<int>(grids.size());
  }
  void softmax_gradcam(DeviceContext& c, HostSpan<const GradCamOfPhoto> photos) override {
    if (photos.size() > script_.most_gradcams) throw Error(ErrorCode::kOutOfMemory, "too many photos");
    CpuDevice::softmax_gradcam(c, photos);
    if (script_.nan_probabilities) photos[0].probabilities[0] = NAN;
  }
  void refine_cams(DeviceContext& c, HostSpan<const RefinementOfPhoto> photos) override {
    ++script_.refinements;
    CpuDevice::refine_cams(c, photos);
  }

 private:
  Script& script_;
};

struct Scripted {
  Script script;
  Arena arena;
  Segmenter segmenter;
  std::vector<SegmentJob> jobs;
  std::vector<Request> requests;

  explicit Scripted(size_t photos = 1, const SegmentSettings& settings = {}, int64_t max_side = 64)
      : segmenter(options().golden + kSmallModel, {.threads = 2, .max_side = max_side}, nullptr,
                  std::make_unique<ScriptedDevice>(arena, script)),
        jobs(photos) {
    for (SegmentJob& job : jobs) requests.push_back(job.request(settings));
  }

  // Segments the requests and returns whether each failed with this message.
  bool all_fail(ErrorCode code, const std::string& part) {
    segmenter.segment(requests);
    return std::ranges::all_of(requests, [&](const Request& request) {
      try {
        request.rethrow_failure();
      } catch (const Error& error) {
        return error.code == code && std::string(error.what()).find(part) != std::string::npos;
      }
      return false;
    });
  }
};

SegmentSettings with_crf(float ignore_below = 0) {
  SegmentSettings settings;
  settings.crf.emplace();
  settings.mask.ignore_below = ignore_below;
  return settings;
}

}  // namespace

TEST("each photo of a batch has an equal share of the time of shared stages and the whole time of its own") {
  Scripted s(3, with_crf());
  StageTimes times;
  const auto encoded = s.segmenter.encode(s.jobs[0].image(), times);
  CHECK(times.preprocess == kSeconds && times.encode == kSeconds && times.gradcam == 0);
  s.segmenter.encode(s.jobs[0].image(), times);
  CHECK(times.preprocess == 2 * kSeconds && times.encode == 2 * kSeconds);  // times of several calls add up
  s.requests[1].encoded = encoded.get();
  s.script.encoded = 0;
  s.segmenter.segment(s.requests);
  CHECK(s.script.encoded == 2);
  for (size_t i = 0; i < 3; ++i) {
    const StageTimes& t = s.requests[i].times;
    const double share = i == 1 ? 0 : kSeconds / 2;
    CHECK(!s.requests[i].failure && t.preprocess == share && t.encode == share);
    CHECK(t.gradcam == kSeconds && t.refine == kSeconds && t.crf == kSeconds);
    CHECK(t.mask == 2 * kSeconds);  // the scores of the pixels on the device, then the host's part
  }
  s.segmenter.segment(s.requests);
  CHECK(s.requests[0].times.gradcam == kSeconds);  // a request that is used again starts from zero
}

TEST("a batch that does not fit in memory is segmented photo by photo, and cancelled photos are not encoded again") {
  Scripted s(3);
  s.script.most_photos = 1;
  const std::atomic<bool> yes{true};
  s.requests[1].cancelled = &yes;
  s.segmenter.segment(s.requests);
  CHECK(s.script.begins == 4 && s.script.encoded == 2);
  CHECK(!s.requests[0].failure && s.requests[1].failure && !s.requests[2].failure);
  CHECK(!s.jobs[0].has_no_scores() && s.jobs[1].has_no_scores() && s.jobs[1].has_no_mask() && !s.jobs[2].has_no_scores());
}

TEST("failures other than a lack of memory, and a single photo that does not fit, are not tried again") {
  Scripted batch(2);
  batch.script.encode_failure = Error(ErrorCode::kInternal, "broken");
  CHECK(batch.all_fail(ErrorCode::kInternal, "broken") && batch.script.begins == 1);
  Scripted single(1);
  single.script.most_photos = 0;
  CHECK(single.all_fail(ErrorCode::kOutOfMemory, "too many photos") && single.script.begins == 1);
  Scripted cancelled(2);
  const std::atomic<bool> yes{true};
  cancelled.segmenter.segment(cancelled.requests, &yes);
  CHECK(cancelled.script.begins == 1 && cancelled.script.encoded == 0 && cancelled.jobs[0].has_no_mask());
}

TEST("a batch that is cancelled while it is preprocessed is not encoded") {
  Scripted s(3);
  std::atomic<bool> cancelled{false};
  s.script.cancel_in_preprocess = &cancelled;
  s.segmenter.segment(s.requests, &cancelled);
  CHECK(s.script.encoded == 0);
  for (size_t i = 0; i < 3; ++i) CHECK(s.requests[i].failure && s.jobs[i].is_untouched());
}

TEST("a device that takes three photos at once gives them the results of single photos, and each an equal share of the time") {
  Scripted s(5, {}), single(1);
  SegmentSettings plain;
  plain.refine = false;
  s.requests[1] = s.jobs[1].request(with_crf());
  s.requests[2] = s.jobs[2].request(plain);
  s.script.photos_at_once = 3;
  s.segmenter.segment(s.requests);
  run(single.segmenter, single.requests[0]);
  CHECK(s.script.refinements == 2);
  for (size_t i = 0; i < 5; ++i) {
    const auto& [job, request] = std::pair<const SegmentJob&, const Request&>(s.jobs[i], s.requests[i]);
    const double share = kSeconds / (i < 3 ? 3 : 2);
    CHECK(!request.failure && request.times.gradcam == share && request.times.refine == share);
    CHECK(request.times.mask == (i == 1 ? share + 2 * kSeconds : share));
    CHECK(largest_difference(job.scores, single.jobs[0].scores) < 1e-6);
    if (i != 2) CHECK(largest_difference(job.maps, single.jobs[0].maps) < 1e-5);
  }
}

TEST("a photo that is refused or cancelled is left out of a group, and a group that does not fit in memory runs photo by photo") {
  Scripted s(4);
  s.script.photos_at_once = 4;
  s.script.most_gradcams = 1;
  const std::atomic<bool> yes{true};
  s.requests[0].cancelled = &yes;
  const std::vector<int64_t> one_row{0, 1};
  s.requests[2].texts = {
      std::span(s.jobs[2].words.rows).first(s.jobs[2].words.texts.shape[1]), one_row, {}, s.requests[2].texts.value.first(1)};
  s.segmenter.segment(s.requests);
  CHECK(s.script.begins == 3);  // the batch, then two photos
  for (const size_t i : {0, 2}) CHECK(s.requests[i].failure && s.jobs[i].is_untouched());
  for (const size_t i : {1, 3}) CHECK(!s.requests[i].failure && !s.jobs[i].has_no_scores() && !s.jobs[i].has_no_mask());
}

TEST("a device that fails at the end fails every request, but an error of a stage is reported first") {
  Scripted s(2);
  s.script.finish_failure = Error(ErrorCode::kDeviceUnavailable, "the device is lost");
  CHECK(s.all_fail(ErrorCode::kDeviceUnavailable, "the device is lost"));
  CHECK(s.jobs[0].has_no_scores() && s.jobs[1].has_no_scores());
  s.script.encode_failure = Error(ErrorCode::kInternal, "broken first");
  CHECK(s.all_fail(ErrorCode::kInternal, "broken first"));
  StageTimes times;
  CHECK_ERROR(s.segmenter.encode(s.jobs[0].image(), times), ErrorCode::kInternal, "broken first");
  s.script.encode_failure.reset();
  s.script.finish_failure.reset();
  s.segmenter.segment(s.requests);
  CHECK(!s.requests[0].failure && !s.requests[1].failure && !s.jobs[1].has_no_scores());
}

TEST("a probability that is not finite fails the request: no scores, and no CRF runs on it") {
  for (const bool crf : {false, true}) {
    Scripted s(1, crf ? with_crf() : SegmentSettings{});
    s.script.nan_probabilities = true;
    CHECK(s.all_fail(ErrorCode::kModelFormat, "no finite embedding"));
    CHECK(s.jobs[0].has_no_scores());
    if (crf) CHECK(s.jobs[0].has_no_mask() && s.requests[0].times.crf == 0);
  }
}

TEST("without refine, the mask is made from the CAMs") {
  SegmentSettings settings;
  settings.refine = false;
  Scripted plain(1, settings), refined(1);
  plain.segmenter.segment(plain.requests);
  refined.segmenter.segment(refined.requests);
  CHECK(plain.script.refinements == 0 && plain.requests[0].times.refine == 0 && refined.script.refinements == 1);
  CHECK(plain.jobs[0].maps != refined.jobs[0].maps && plain.jobs[0].scores == refined.jobs[0].scores);
}

TEST("with a CRF, the maps are those without it, and ignore_below applies to the CRF's confidence") {
  Scripted plain(1), crf(1, with_crf()), strict(1, with_crf(2));
  for (Scripted* s : {&plain, &crf, &strict}) run(s->segmenter, s->requests[0]);
  CHECK(crf.jobs[0].maps == plain.jobs[0].maps && crf.jobs[0].scores == plain.jobs[0].scores);
  CHECK(crf.jobs[0].confidence != plain.jobs[0].confidence && strict.jobs[0].confidence == crf.jobs[0].confidence);
  CHECK(std::ranges::count(strict.jobs[0].mask, kIgnored) == std::ssize(strict.jobs[0].mask));
  CHECK(std::ranges::count(crf.jobs[0].mask, kIgnored) == 0);
}

TEST("the CRF's mask has the byte of each label, as the mask without a CRF") {
  Scripted s(1, with_crf()), named(1, with_crf());
  std::vector<uint8_t> value;
  for (size_t k = 0; k < s.jobs[0].words.value.size(); ++k) value.push_back(static_cast<uint8_t>(200 - k));
  named.requests[0].texts.value = value;
  run(s.segmenter, s.requests[0]);
  run(named.segmenter, named.requests[0]);
  std::vector<uint8_t> want;
  for (const uint8_t label : s.jobs[0].mask) want.push_back(label == kBackground ? kBackground : value[label - 1]);
  CHECK(named.jobs[0].mask == want && std::ranges::count(want, kBackground) < std::ssize(want));
}

TEST("a segmenter counts the memory of its workspace, and a clone starts without one") {
  Scripted s;
  const auto clone = s.segmenter.clone(1);
  const size_t before = clone->bytes();
  CHECK(before > s.segmenter.model().bytes());
  std::vector<float> embedding(s.segmenter.model().shape.embedding);
  std::vector<int32_t> tokens(s.segmenter.model().shape.context);
  tokens[1] = 1;
  clone->encode_text(tokens, embedding);
  CHECK(clone->bytes() > before && clone->allocations() > 0);
}

TEST("a batch that is laid out again counts only its own photos") {
  const Model& model = *model_at(options().golden + kSmallModel).model();
  const std::vector<uint8_t> rgb(3 * 40 * 20);
  PhotoBatch batch;
  DeviceBuffer memory;
  for (int round = 0; round < 2; ++round) {
    batch.photos = {{rgb.data(), 40, 20, 3}, {rgb.data(), 20, 40, 3}};
    batch.lay_out(model, {model.image.width, model.last_hidden, model.image.heads}, 0, host_memory(), memory);
    CHECK(batch.size() == 2 && batch.grids.size() == 2 && batch.last_blocks.size() == 2 && batch.mean_attention.size() == 2);
    CHECK(batch.patches == batch.grids[0].patches() + batch.grids[1].patches() && batch.tokens == batch.patches + 2);
  }
}

}  // namespace clip_es::segmenter_test
