// The entry point. The add-on exports { Segmenter, EncodedImage, Crf, isFirst, hasAmx, multipliesBfloat16, usableCores }.
#include <napi.h>

#include <atomic>

#include "addon_data.h"
#include "core/error.h"
#include "core/platform/library.h"
#include "core/platform/threads.h"
#include "crf_wrap.h"
#include "encoded_image_wrap.h"
#include "ops/cpu/cpu_level.h"
#include "segmenter_wrap.h"
#include "torch/packed_weight.h"

namespace clip_es::binding {
namespace {

// process.exit() on the main thread does not run the clean-up hooks of environments. It destroys static objects, including LibTorch's
// tables, while our threads may still use them. The event 'exit' is emitted before that, so the queues are stopped then.
void stop_at_exit(Napi::Env env) {
  const Napi::Value process = env.Global().Get("process");
  const Napi::Value on = process.IsObject() ? process.As<Napi::Object>().Get("on") : env.Undefined();
  if (!on.IsFunction()) return;  // false in a context of node:vm
  const auto listener = Napi::Function::New(
      env,
      [](const Napi::CallbackInfo& info) {
        for (PromiseQueue* queue : info.Env().GetInstanceData<AddonData>()->open_queues) queue->stop();
      },
      "stopClipEs");
  on.As<Napi::Function>().Call(process, {Napi::String::New(env, "exit"), listener});
}

// True for the first call in the process. JavaScript cannot know this: each worker thread has its own copy of a module's variables.
Napi::Value is_first(const Napi::CallbackInfo& info) {
  static std::atomic<bool> called = false;
  return Napi::Boolean::New(info.Env(), !called.exchange(true));
}

Napi::Value has_amx(const Napi::CallbackInfo& info) { return Napi::Boolean::New(info.Env(), torch::cpu_has_amx()); }

Napi::Value multiplies_bfloat16(const Napi::CallbackInfo& info) {
  bool answer = false;
  try {
    answer = ops::cpu_level().multiplies_bfloat16;
  } catch (const Error&) {  // CLIP_ES_CPU names no level: loading a model says so
  }
  return Napi::Boolean::New(info.Env(), answer);
}

Napi::Value usable_cores(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), platform::usable_cores()); }

Napi::Object initialise(Napi::Env env, Napi::Object exports) {
  // Node would unload the add-on when the last worker thread that uses it ends. The next worker would load it again, while LibTorch still
  // has the threads and tables of the first load.
  platform::stay_loaded();
  const Napi::Function encoded_image = EncodedImageWrap::define(env);
  env.SetInstanceData(new AddonData{Napi::Persistent(encoded_image), {}});
  stop_at_exit(env);
  exports.Set("Crf", CrfWrap::define(env));
  exports.Set("Segmenter", SegmenterWrap::define(env));
  exports.Set("EncodedImage", encoded_image);
  exports.Set("isFirst", Napi::Function::New(env, is_first, "isFirst"));
  exports.Set("hasAmx", Napi::Function::New(env, has_amx, "hasAmx"));
  exports.Set("multipliesBfloat16", Napi::Function::New(env, multiplies_bfloat16, "multipliesBfloat16"));
  exports.Set("usableCores", Napi::Function::New(env, usable_cores, "usableCores"));
  return exports;
}

}  // namespace

NODE_API_MODULE(clip_es, initialise)

}  // namespace clip_es::binding
