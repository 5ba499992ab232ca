#include "encoded_image_wrap.h"

namespace clip_es::binding {

Napi::Function EncodedImageWrap::define(Napi::Env env) {
  return DefineClass(env, "EncodedImage", {InstanceMethod<&EncodedImageWrap::dispose>("dispose")});
}

EncodedImageWrap::EncodedImageWrap(const Napi::CallbackInfo& info) : ObjectWrap(info) {}

Napi::Value EncodedImageWrap::wrap(Napi::Env env, const Napi::FunctionReference& constructor, std::shared_ptr<const EncodedImage> image,
                                   const Napi::Object& timings) {
  const Napi::Object object = constructor.New({});
  EncodedImageWrap& self = *Unwrap(object);
  self.reported_bytes_ = static_cast<int64_t>(image->memory.bytes());
  self.image_ = std::move(image);
  object.Set("gridWidth", static_cast<double>(self.image_->encoding.grid.width));
  object.Set("gridHeight", static_cast<double>(self.image_->encoding.grid.height));
  object.Set("timings", timings);
  Napi::MemoryManagement::AdjustExternalMemory(env, self.reported_bytes_);
  return object;
}

Napi::Value EncodedImageWrap::dispose(const Napi::CallbackInfo& info) {
  image_.reset();  // jobs that read the image share its ownership
  Napi::MemoryManagement::AdjustExternalMemory(info.Env(), -std::exchange(reported_bytes_, 0));
  return info.Env().Undefined();
}

void EncodedImageWrap::Finalize(Napi::BasicEnv env) { Napi::MemoryManagement::AdjustExternalMemory(env, -reported_bytes_); }

}  // namespace clip_es::binding
