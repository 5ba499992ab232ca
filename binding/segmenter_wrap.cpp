#include "segmenter_wrap.h"

#include <malloc.h>

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

}  // namespace

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
    : ObjectWrap(info), queue_(info.Env(), info.Env().GetInstanceData<AddonData>()->queues) {}

void SegmenterWrap::Finalize(Napi::BasicEnv env) { Napi::MemoryManagement::AdjustExternalMemory(env, -reported_); }

std::unique_ptr<Job> SegmenterWrap::new_job(const Napi::CallbackInfo& info, std::initializer_list<int> kept_arguments) {
  auto job = std::make_unique<Job>(info.Env(), info[0].As<Napi::Number>().Uint32Value());
  job->kept.push_back(Napi::Persistent(info.This().As<Napi::Object>()));
  for (const int argument : kept_arguments) job->kept.push_back(Napi::Persistent(info[static_cast<size_t>(argument)].As<Napi::Object>()));
  job->result = [](Napi::Env env) { return env.Undefined(); };
  return job;
}

Napi::Value SegmenterWrap::open(const Napi::CallbackInfo& info) {
  auto job = new_job(info, {});
  job->work = [this, libtorch = info[1].As<Napi::String>().Utf8Value(), archive = info[2].As<Napi::String>().Utf8Value(),
               settings = to_segmenter_settings(info[3].As<Napi::Object>())](const std::atomic<bool>& cancelled) {
    torch::load_library(libtorch);
    segmenter_ = std::make_unique<Segmenter>(archive, settings, &cancelled);
  };
  job->result = [this](Napi::Env env) {
    reported_ = static_cast<int64_t>(segmenter_->bytes());
    Napi::MemoryManagement::AdjustExternalMemory(env, reported_);
    return to_js(env, segmenter_->model(), segmenter_->device());
  };
  return queue_.push(info.Env(), std::move(job));
}

Napi::Value SegmenterWrap::encode_text(const Napi::CallbackInfo& info) {
  auto job = new_job(info, {1, 2});
  job->work = [this, tokens = elements<const int32_t>(info[1]), embeddings = elements<float>(info[2])](const std::atomic<bool>& cancelled) {
    segmenter_->encode_text(tokens, embeddings, &cancelled);
  };
  return queue_.push(info.Env(), std::move(job));
}

Napi::Value SegmenterWrap::encode(const Napi::CallbackInfo& info) {
  auto job = new_job(info, {1});
  auto encoded = std::make_shared<std::shared_ptr<EncodedImage>>();
  job->work = [this, encoded, image = to_image(info[1].As<Napi::Object>())](const std::atomic<bool>& cancelled) {
    StageTimes times;
    *encoded = segmenter_->encode(image, times, &cancelled);
  };
  job->result = [encoded](Napi::Env env) { return EncodedImageWrap::wrap(env, env.GetInstanceData<AddonData>()->encoded_image, *encoded); };
  return queue_.push(info.Env(), std::move(job));
}

Napi::Value SegmenterWrap::embeddings(const Napi::CallbackInfo& info) {
  auto job = new_job(info, {1, 2});
  if (!info[3].IsUndefined()) job->kept.push_back(Napi::Persistent(info[3].As<Napi::Object>()));
  job->work = [this, encoded = EncodedImageWrap::Unwrap(info[1].As<Napi::Object>())->image(), image = elements<float>(info[2]),
               patches = elements<float>(info[3])](const std::atomic<bool>& cancelled) {
    segmenter_->embeddings(*encoded, image.data(), patches.data(), &cancelled);
  };
  return queue_.push(info.Env(), std::move(job));
}

Napi::Value SegmenterWrap::segment(const Napi::CallbackInfo& info) {
  const Napi::Object source = info[1].As<Napi::Object>();
  const bool is_encoded = source.InstanceOf(info.Env().GetInstanceData<AddonData>()->encoded_image.Value());
  const std::shared_ptr<const EncodedImage> encoded = is_encoded ? EncodedImageWrap::Unwrap(source)->image() : nullptr;
  const Image image = is_encoded ? Image{} : to_image(source);
  auto times = std::make_shared<StageTimes>();
  auto job = new_job(info, {1, 2, 4});
  job->work = [this, encoded, image, times, texts = Texts(info[2].As<Napi::Object>()),
               settings = to_segment_settings(info[3].As<Napi::Object>()),
               outputs = to_outputs(info[4].As<Napi::Object>())](const std::atomic<bool>& cancelled) {
    if (encoded) segmenter_->segment(*encoded, texts.view(), texts.values, settings, outputs, *times, &cancelled);
    else segmenter_->segment(image, texts.view(), texts.values, settings, outputs, *times, &cancelled);
  };
  job->result = [times, raw = job.get()](Napi::Env env) { return to_js(env, *times, raw->waited); };
  return queue_.push(info.Env(), std::move(job));
}

Napi::Value SegmenterWrap::close(const Napi::CallbackInfo& info) {
  queue_.reject_waiting({"ERR_CLOSED", "the segmenter was closed before this job began; load another one"});
  auto job = new_job(info, {});
  job->work = [this](const std::atomic<bool>&) {
    segmenter_.reset();
    give_memory_back();
  };
  job->result = [this](Napi::Env env) {
    queue_.stop();  // its thread is idle: this was the last job
    Napi::MemoryManagement::AdjustExternalMemory(env, -std::exchange(reported_, 0));
    return env.Undefined();
  };
  return queue_.push(info.Env(), std::move(job));
}

void SegmenterWrap::cancel(const Napi::CallbackInfo& info) { queue_.cancel(info[0].As<Napi::Number>().Uint32Value()); }

}  // namespace clip_es::binding
