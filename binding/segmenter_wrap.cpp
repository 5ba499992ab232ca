#include "segmenter_wrap.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "addon_data.h"
#include "convert.h"
#include "core/platform/memory.h"
#include "encoded_image_wrap.h"
#include "torch/library.h"

namespace clip_es::binding {
struct SegmenterWrap::TimedJob : PromiseJob {
  using PromiseJob::PromiseJob;
  StageTimes times;
};

struct SegmenterWrap::EncodeJob : TimedJob {
  using TimedJob::TimedJob;
  std::shared_ptr<EncodedImage> encoded;
};

struct SegmenterWrap::SegmentJob : PromiseJob {
  using PromiseJob::PromiseJob;
  std::optional<Texts> texts;  // `request` reads them
  Request request;
};

Napi::Function SegmenterWrap::define(Napi::Env env) {
  return DefineClass(env, "Segmenter",
                     {
                         InstanceMethod<&SegmenterWrap::queue_open>("open"),
                         InstanceMethod<&SegmenterWrap::queue_encode_text>("encodeText"),
                         InstanceMethod<&SegmenterWrap::queue_encode>("encode"),
                         InstanceMethod<&SegmenterWrap::queue_embeddings>("embeddings"),
                         InstanceMethod<&SegmenterWrap::queue_embed_crops>("embedCrops"),
                         InstanceMethod<&SegmenterWrap::queue_segment>("segment"),
                         InstanceMethod<&SegmenterWrap::queue_close>("close"),
                         InstanceMethod<&SegmenterWrap::cancel>("cancel"),
                     });
}

SegmenterWrap::SegmenterWrap(const Napi::CallbackInfo& info)
    : ObjectWrap(info),
      queue_(info.Env(), info.Env().GetInstanceData<AddonData>()->open_queues,
             [this](std::span<const std::unique_ptr<Job>> jobs, const JobContext& context) { run_batch(jobs, context); }) {}

void SegmenterWrap::Finalize(Napi::BasicEnv env) { Napi::MemoryManagement::AdjustExternalMemory(env, -reported_bytes_); }

// The segmenter of the queue's thread. It uses all cores when no other job runs, otherwise its share.
Segmenter& SegmenterWrap::segmenter_of(const JobContext& context) {
  Segmenter& segmenter = *segmenters_[context.thread];
  segmenter.set_threads(settings_.threads / context.active_threads);
  return segmenter;
}

// Keeps this object and the given arguments alive until the promise is settled.
template <class T>
std::unique_ptr<T> SegmenterWrap::new_job(const Napi::CallbackInfo& info, std::initializer_list<size_t> referenced_arguments) {
  auto job = std::make_unique<T>(info.Env(), info[0].As<Napi::Number>().Uint32Value());
  job->references.push_back(Napi::Persistent(info.This().As<Napi::Object>()));
  for (const size_t argument : referenced_arguments)
    if (!info[argument].IsUndefined()) job->references.push_back(Napi::Persistent(info[argument].As<Napi::Object>()));
  return job;
}

Napi::Value SegmenterWrap::queue_open(const Napi::CallbackInfo& info) {
  const QueueSettings queue_settings = to_queue_settings(info[3].As<Napi::Object>());
  auto job = new_job<PromiseJob>(info, {});
  job->work = [this, libtorch = info[1].As<Napi::String>().Utf8Value(), archive = info[2].As<Napi::String>().Utf8Value(),
               settings = to_segmenter_settings(info[3].As<Napi::Object>()),
               concurrency = queue_settings.concurrency](const JobContext& context) {
    if (!libtorch.empty()) {
      // The CPU needs no LibTorch, so a LibTorch that cannot be loaded is an error only for a GPU.
      if (settings.device == "cpu") torch::try_load_library(libtorch);
      else torch::load_library(libtorch);
    }
    open(archive, settings, concurrency, context.cancelled);
  };
  job->result = [this, queue_settings](Napi::Env env) {
    queue_.configure(queue_settings);
    const Segmenter& first = *segmenters_.front();
    reported_bytes_ = static_cast<int64_t>(first.bytes());
    Napi::MemoryManagement::AdjustExternalMemory(env, reported_bytes_);
    return to_js(env, first);
  };
  return queue_.push(info.Env(), std::move(job));
}

void SegmenterWrap::open(const std::string& archive, const SegmenterSettings& settings, int concurrency,
                         const std::atomic<bool>& cancelled) {
  settings_ = settings;
  segmenters_.push_back(std::make_unique<Segmenter>(archive, settings, &cancelled));
  // The more segmenters work at the same time, the fewer threads each may use.
  for (int i = 1; i < concurrency; ++i) segmenters_.push_back(segmenters_.front()->clone(std::max(1, settings.threads / (i + 1))));
}

Napi::Value SegmenterWrap::queue_encode_text(const Napi::CallbackInfo& info) {
  auto job = new_job<PromiseJob>(info, {1, 2});
  job->work = [this, tokens = elements<const int32_t>(info[1]), embeddings = elements<float>(info[2])](const JobContext& context) {
    segmenter_of(context).encode_text(tokens, embeddings, &context.cancelled);
  };
  return queue_.push(info.Env(), std::move(job));
}

Napi::Value SegmenterWrap::queue_encode(const Napi::CallbackInfo& info) {
  auto job = new_job<EncodeJob>(info, {1});
  job->work = [this, raw = job.get(), image = to_image(info[1].As<Napi::Object>())](const JobContext& context) {
    raw->encoded = segmenter_of(context).encode(image, raw->times, &context.cancelled);
  };
  job->result = [raw = job.get()](Napi::Env env) {
    const Napi::FunctionReference& constructor = env.GetInstanceData<AddonData>()->encoded_image;
    return EncodedImageWrap::wrap(env, constructor, std::move(raw->encoded), to_js(env, raw->times, raw->queue_seconds));
  };
  return queue_.push(info.Env(), std::move(job));
}

Napi::Value SegmenterWrap::queue_embeddings(const Napi::CallbackInfo& info) {
  auto job = new_job<PromiseJob>(info, {1, 2, 3});
  job->work = [this, encoded = EncodedImageWrap::Unwrap(info[1].As<Napi::Object>())->image(), image = elements<float>(info[2]),
               patches = elements<float>(info[3])](const JobContext& context) {
    segmenter_of(context).embeddings(*encoded, image, patches, &context.cancelled);
  };
  return queue_.push(info.Env(), std::move(job));
}

Napi::Value SegmenterWrap::queue_embed_crops(const Napi::CallbackInfo& info) {
  auto job = new_job<TimedJob>(info, {1, 3});
  job->work = [this, raw = job.get(), image = to_image(info[1].As<Napi::Object>()), boxes = to_boxes(info[2]),
               embeddings = elements<float>(info[3])](const JobContext& context) {
    segmenter_of(context).embed_crops(image, boxes, embeddings, raw->times, &context.cancelled);
  };
  job->result = [raw = job.get()](Napi::Env env) { return to_js(env, raw->times, raw->queue_seconds); };
  return queue_.push(info.Env(), std::move(job));
}

Napi::Value SegmenterWrap::queue_segment(const Napi::CallbackInfo& info) {
  const Napi::Object source = info[1].As<Napi::Object>();
  const bool is_encoded = source.InstanceOf(info.Env().GetInstanceData<AddonData>()->encoded_image.Value());
  auto job = new_job<SegmentJob>(info, {1, 2, 3, 4});
  job->texts.emplace(info[2].As<Napi::Object>());
  job->request = {.image = is_encoded ? Image{} : to_image(source),
                  .texts = job->texts->view(),
                  .settings = to_segment_settings(info[3].As<Napi::Object>()),
                  .outputs = to_outputs(info[4].As<Napi::Object>()),
                  .cancelled = &job->cancelled};
  job->result = [raw = job.get()](Napi::Env env) { return to_js(env, raw->request.times, raw->queue_seconds); };
  job->can_batch = !is_encoded;
  if (is_encoded)
    job->work = [this, raw = job.get(), encoded = EncodedImageWrap::Unwrap(source)->image()](const JobContext& context) {
      raw->request.encoded = encoded.get();
      segmenter_of(context).segment({&raw->request, 1}, &context.cancelled);
      raw->request.rethrow_failure();
    };
  return queue_.push(info.Env(), std::move(job));
}

void SegmenterWrap::run_batch(std::span<const std::unique_ptr<Job>> jobs, const JobContext& context) {
  std::vector<SegmentJob*> sorted;
  for (const auto& job : jobs) sorted.push_back(static_cast<SegmentJob*>(job.get()));
  // Photos of the same size that are next to each other share more work.
  std::ranges::stable_sort(sorted, {}, [](const SegmentJob* job) { return job->request.image.size().pixels(); });
  std::vector<Request> requests;
  for (const SegmentJob* job : sorted) requests.push_back(job->request);
  segmenter_of(context).segment(requests, &context.cancelled);
  for (size_t i = 0; i < requests.size(); ++i) {
    sorted[i]->request.times = requests[i].times;
    sorted[i]->failure = to_failure(requests[i].failure);
  }
}

Napi::Value SegmenterWrap::queue_close(const Napi::CallbackInfo& info) {
  queue_.reject_waiting({"ERR_CLOSED", "the segmenter was closed before this job began; load another one"});
  auto job = new_job<PromiseJob>(info, {});
  job->exclusive = true;
  job->work = [this](const JobContext&) { close(); };
  job->result = [this](Napi::Env env) {
    queue_.stop();  // returns at once, because no job is left
    Napi::MemoryManagement::AdjustExternalMemory(env, -std::exchange(reported_bytes_, 0));
    return env.Undefined();
  };
  return queue_.push(info.Env(), std::move(job));
}

void SegmenterWrap::close() {
  segmenters_.clear();
  platform::return_freed_memory();
}

void SegmenterWrap::cancel(const Napi::CallbackInfo& info) { queue_.cancel(info[0].As<Napi::Number>().Uint32Value()); }

}  // namespace clip_es::binding
