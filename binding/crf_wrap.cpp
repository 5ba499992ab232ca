#include "crf_wrap.h"

#include "addon_data.h"
#include "convert.h"
#include "core/denormals.h"
#include "core/platform/threads.h"
#include "crf/dense_crf.h"

namespace clip_es::binding {
namespace {

// Releases memory that only an unusually large photo needed, at the end of each job, also after an exception.
struct TrimArena {
  Arena& arena;
  ~TrimArena() { arena.trim(); }
};

}  // namespace

Napi::Function CrfWrap::define(Napi::Env env) {
  return DefineClass(env, "Crf", {InstanceMethod<&CrfWrap::queue_crf>("run"), InstanceMethod<&CrfWrap::cancel>("cancel")});
}

CrfWrap::CrfWrap(const Napi::CallbackInfo& info)
    : ObjectWrap(info),
      threads_(info[0].As<Napi::Number>().Int32Value()),
      queue_(info.Env(), info.Env().GetInstanceData<AddonData>()->open_queues) {}

Napi::Value CrfWrap::queue_crf(const Napi::CallbackInfo& info) {
  const auto input = info[1].As<Napi::Object>();
  const auto integer = [&](const char* name) { return input.Get(name).As<Napi::Number>().Int64Value(); };
  auto job = std::make_unique<PromiseJob>(info.Env(), info[0].As<Napi::Number>().Uint32Value());
  job->references.push_back(Napi::Persistent(info.This().As<Napi::Object>()));
  for (const size_t argument : {1, 3}) job->references.push_back(Napi::Persistent(info[argument].As<Napi::Object>()));
  const auto output = info[3].As<Napi::Object>();
  job->work = [this, rgb = elements<const uint8_t>(input.Get("rgb")), scores = elements<const float>(input.Get("scores")),
               width = integer("width"), height = integer("height"), labels = integer("labels"),
               settings = to_crf_settings(info[2].As<Napi::Object>()), marginals = elements<float>(output.Get("marginals")),
               mask = elements<uint8_t>(output.Get("mask")),
               confidence = elements<float>(output.Get("confidence"))](const JobContext& job_context) {
    const FlushDenormals flush;
    const TrimArena trim{arena_};
    platform::lower_thread_priority();
    if (!pool_) pool_ = std::make_unique<ThreadPool>(threads_, [] { platform::lower_thread_priority(); });
    HostContext context{*pool_, arena_, &job_context.cancelled};
    dense_crf(context, {rgb.data(), width, height, scores.data(), labels}, settings,
              {.marginals = marginals.data(), .mask = mask.data(), .confidence = confidence.data()});
  };
  return queue_.push(info.Env(), std::move(job));
}

void CrfWrap::cancel(const Napi::CallbackInfo& info) { queue_.cancel(info[0].As<Napi::Number>().Uint32Value()); }

}  // namespace clip_es::binding
