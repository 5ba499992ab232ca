#include "segmenter_wrap.h"

#include <malloc.h>

#include <algorithm>

#include "addon_data.h"
#include "convert.h"
#include "encoded_image_wrap.h"
#include "torch/library.h"

namespace clip_es::binding {
namespace {

// glibc keeps what a thread has freed for threads to come: 20 MB for each segmenter that ever ran beside others.
void give_memory_back() {
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}

std::optional<Failure> failure_of(const std::exception_ptr& failure) {
  try {
    if (failure) std::rethrow_exception(failure);
  } catch (...) {
    return current_failure();
  }
  return std::nullopt;
}

}  // namespace

struct SegmenterWrap::SegmentJob : Job {
  using Job::Job;
  std::optional<Texts> texts;
  Request request;
};

Napi::Function SegmenterWrap::define(Napi::Env env) {
  return DefineClass(env, "Segmenter",
                     {
                         InstanceMethod<&SegmenterWrap::open>("open"),
                         InstanceMethod<&SegmenterWrap::encode_text>("encodeText"),
                         InstanceMethod<&SegmenterWrap::encode>("encode"),
                         InstanceMethod<&SegmenterWrap::embeddings>("embeddings"),
                         InstanceMethod<&SegmenterWrap::segment>("segment"),
                         InstanceMethod<&SegmenterWrap::close>("close"),
                         InstanceMethod<&SegmenterWrap::cancel>("cancel"),
                     });
}

SegmenterWrap::SegmenterWrap(const Napi::CallbackInfo& info)
    : ObjectWrap(info),
      queue_(info.Env(), info.Env().GetInstanceData<AddonData>()->queues,
             [this](std::span<const std::unique_ptr<Job>> jobs, const Turn& turn) { segment_together(jobs, turn); }) {}

// A thread's own segmenter. Of the processor's cores it takes all when nothing else is to be done, and its share otherwise.
Segmenter& SegmenterWrap::at(const Turn& turn) {
  Segmenter& own = *segmenters_[static_cast<size_t>(turn.thread)];
  own.use_threads(settings_.threads / turn.sharing);
  return own;
}

void SegmenterWrap::Finalize(Napi::BasicEnv env) { Napi::MemoryManagement::AdjustExternalMemory(env, -reported_); }

template <class T>
std::unique_ptr<T> SegmenterWrap::new_job(const Napi::CallbackInfo& info, std::initializer_list<int> kept_arguments) {
  auto job = std::make_unique<T>(info.Env(), info[0].As<Napi::Number>().Uint32Value());
  job->kept.push_back(Napi::Persistent(info.This().As<Napi::Object>()));
  for (const int argument : kept_arguments) job->kept.push_back(Napi::Persistent(info[static_cast<size_t>(argument)].As<Napi::Object>()));
  job->result = [](Napi::Env env) { return env.Undefined(); };
  return job;
}

Napi::Value SegmenterWrap::open(const Napi::CallbackInfo& info) {
  const QueueSettings queue = to_queue_settings(info[3].As<Napi::Object>());
  auto job = new_job<Job>(info, {});
  job->work = [this, libtorch = info[1].As<Napi::String>().Utf8Value(), archive = info[2].As<Napi::String>().Utf8Value(),
               settings = to_segmenter_settings(info[3].As<Napi::Object>()), queue](const Turn& turn) {
    if (!libtorch.empty()) {
      // The CPU works without LibTorch, so one that cannot be loaded is an error only for a GPU.
      if (settings.device == "cpu") torch::try_load_library(libtorch);
      else torch::load_library(libtorch);
    }
    settings_ = settings;
    segmenters_.push_back(std::make_unique<Segmenter>(archive, settings, &turn.cancelled));
    for (int i = 1; i < queue.threads; ++i) segmenters_.push_back(segmenters_.front()->beside(std::max(1, settings.threads / (i + 1))));
  };
  job->result = [this, queue](Napi::Env env) {
    queue_.grow(queue);
    const Segmenter& first = *segmenters_.front();
    reported_ = static_cast<int64_t>(first.bytes());
    Napi::MemoryManagement::AdjustExternalMemory(env, reported_);
    return to_js(env, first.model(), first.device());
  };
  return queue_.push(info.Env(), std::move(job));
}

Napi::Value SegmenterWrap::encode_text(const Napi::CallbackInfo& info) {
  auto job = new_job<Job>(info, {1, 2});
  job->work = [this, tokens = elements<const int32_t>(info[1]), embeddings = elements<float>(info[2])](const Turn& turn) {
    at(turn).encode_text(tokens, embeddings, &turn.cancelled);
  };
  return queue_.push(info.Env(), std::move(job));
}

Napi::Value SegmenterWrap::encode(const Napi::CallbackInfo& info) {
  auto job = new_job<Job>(info, {1});
  auto encoded = std::make_shared<std::shared_ptr<EncodedImage>>();
  job->work = [this, encoded, image = to_image(info[1].As<Napi::Object>())](const Turn& turn) {
    StageTimes times;
    *encoded = at(turn).encode(image, times, &turn.cancelled);
  };
  job->result = [encoded](Napi::Env env) { return EncodedImageWrap::wrap(env, env.GetInstanceData<AddonData>()->encoded_image, *encoded); };
  return queue_.push(info.Env(), std::move(job));
}

Napi::Value SegmenterWrap::embeddings(const Napi::CallbackInfo& info) {
  auto job = new_job<Job>(info, {1, 2});
  if (!info[3].IsUndefined()) job->kept.push_back(Napi::Persistent(info[3].As<Napi::Object>()));
  job->work = [this, encoded = EncodedImageWrap::Unwrap(info[1].As<Napi::Object>())->image(), image = elements<float>(info[2]),
               patches = elements<float>(info[3])](const Turn& turn) {
    at(turn).embeddings(*encoded, image.data(), patches.data(), &turn.cancelled);
  };
  return queue_.push(info.Env(), std::move(job));
}

Napi::Value SegmenterWrap::segment(const Napi::CallbackInfo& info) {
  const Napi::Object source = info[1].As<Napi::Object>();
  const bool is_encoded = source.InstanceOf(info.Env().GetInstanceData<AddonData>()->encoded_image.Value());
  auto job = new_job<SegmentJob>(info, {1, 2, 4});
  job->texts.emplace(info[2].As<Napi::Object>());
  job->request = {.image = is_encoded ? Image{} : to_image(source),
                  .texts = job->texts->view(),
                  .value = job->texts->values,
                  .settings = to_segment_settings(info[3].As<Napi::Object>()),
                  .outputs = to_outputs(info[4].As<Napi::Object>()),
                  .cancelled = &job->cancelled,
                  .times = {},
                  .failure = nullptr};
  job->result = [raw = job.get()](Napi::Env env) { return to_js(env, raw->request.times, raw->waited); };
  job->joins = !is_encoded;
  if (is_encoded)
    job->work = [this, raw = job.get(), encoded = EncodedImageWrap::Unwrap(source)->image()](const Turn& turn) {
      Request& r = raw->request;
      at(turn).segment(*encoded, r.texts, r.value, r.settings, r.outputs, r.times, &turn.cancelled);
    };
  return queue_.push(info.Env(), std::move(job));
}

void SegmenterWrap::segment_together(std::span<const std::unique_ptr<Job>> jobs, const Turn& turn) {
  std::vector<SegmentJob*> in_order;
  for (const auto& job : jobs) in_order.push_back(static_cast<SegmentJob*>(job.get()));
  // Photos of one size side by side share more of their work.
  std::ranges::stable_sort(in_order, {}, [](const SegmentJob* job) { return job->request.image.width * job->request.image.height; });
  std::vector<Request> batch;
  for (const SegmentJob* job : in_order) batch.push_back(job->request);
  at(turn).segment(batch, &turn.cancelled);
  for (size_t i = 0; i < batch.size(); ++i) {
    in_order[i]->request.times = batch[i].times;
    in_order[i]->failure = failure_of(batch[i].failure);
  }
}

Napi::Value SegmenterWrap::close(const Napi::CallbackInfo& info) {
  queue_.reject_waiting({"ERR_CLOSED", "the segmenter was closed before this job began; load another one"});
  auto job = new_job<Job>(info, {});
  job->is_last = true;
  job->work = [this](const Turn&) {
    segmenters_.clear();
    give_memory_back();
  };
  job->result = [this](Napi::Env env) {
    queue_.stop();  // its threads are idle: this was the last job
    Napi::MemoryManagement::AdjustExternalMemory(env, -std::exchange(reported_, 0));
    return env.Undefined();
  };
  return queue_.push(info.Env(), std::move(job));
}

void SegmenterWrap::cancel(const Napi::CallbackInfo& info) { queue_.cancel(info[0].As<Napi::Number>().Uint32Value()); }

}  // namespace clip_es::binding
