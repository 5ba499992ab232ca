// What the add-on exports: { Segmenter, EncodedImage }.
#include <dlfcn.h>
#include <napi.h>

#include "addon_data.h"
#include "encoded_image_wrap.h"
#include "segmenter_wrap.h"

namespace clip_es::binding {
namespace {

// When the last worker thread that uses the add-on ends, Node would unload it, and the next one would load a LibTorch whose
// threads and tables are still those of the first. Once loaded it stays.
void stay_loaded() {
  Dl_info self;
  if (dladdr(reinterpret_cast<void*>(&stay_loaded), &self)) dlopen(self.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE);
}

Napi::Object initialise(Napi::Env env, Napi::Object exports) {
  stay_loaded();
  const Napi::Function encoded_image = EncodedImageWrap::define(env);
  env.SetInstanceData(new AddonData{Napi::Persistent(encoded_image)});
  exports.Set("Segmenter", SegmenterWrap::define(env));
  exports.Set("EncodedImage", encoded_image);
  return exports;
}

}  // namespace

NODE_API_MODULE(clip_es, initialise)

}  // namespace clip_es::binding
