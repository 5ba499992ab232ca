// The add-on exports { Segmenter, EncodedImage, Crf, isFirst, hasAmx }.
#include <dlfcn.h>
#include <napi.h>

#include <atomic>

#include "addon_data.h"
#include "crf_wrap.h"
#include "encoded_image_wrap.h"
#include "segmenter_wrap.h"
#include "torch/packed_weight.h"

namespace clip_es::binding {
namespace {

// When the last worker thread that uses the add-on ends, Node would unload it, and the next one would load a LibTorch whose
// threads and tables are still those of the first. Once loaded it stays.
void stay_loaded() {
  Dl_info self;
  if (dladdr(reinterpret_cast<void*>(&stay_loaded), &self)) dlopen(self.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE);
}

// process.exit() on the main thread runs no environment clean-up hooks but the C library's: LibTorch's tables would be destroyed,
// or be built still, under a thread that uses them. The event is emitted before.
void stop_at_exit(Napi::Env env) {
  const Napi::Value process = env.Global().Get("process");
  const Napi::Value on = process.IsObject() ? process.As<Napi::Object>().Get("on") : env.Undefined();
  if (!on.IsFunction()) return;  // a context of node:vm
  const auto listener = Napi::Function::New(
      env,
      [](const Napi::CallbackInfo& info) {
        for (JobQueue* queue : info.Env().GetInstanceData<AddonData>()->queues) queue->stop();
      },
      "stopClipEs");
  on.As<Napi::Function>().Call(process, {Napi::String::New(env, "exit"), listener});
}

// True once in a process: worker threads have modules of their own, and share this.
Napi::Value is_first(const Napi::CallbackInfo& info) {
  static std::atomic<bool> asked = false;
  return Napi::Boolean::New(info.Env(), !asked.exchange(true));
}

Napi::Value has_amx(const Napi::CallbackInfo& info) { return Napi::Boolean::New(info.Env(), torch::cpu_has_amx()); }

Napi::Object initialise(Napi::Env env, Napi::Object exports) {
  stay_loaded();
  const Napi::Function encoded_image = EncodedImageWrap::define(env);
  env.SetInstanceData(new AddonData{Napi::Persistent(encoded_image), {}});
  stop_at_exit(env);
  exports.Set("Crf", CrfWrap::define(env));
  exports.Set("Segmenter", SegmenterWrap::define(env));
  exports.Set("EncodedImage", encoded_image);
  exports.Set("isFirst", Napi::Function::New(env, is_first, "isFirst"));
  exports.Set("hasAmx", Napi::Function::New(env, has_amx, "hasAmx"));
  return exports;
}

}  // namespace

NODE_API_MODULE(clip_es, initialise)

}  // namespace clip_es::binding
