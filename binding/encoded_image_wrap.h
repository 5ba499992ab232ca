// An encoded photo as a JavaScript object. dispose() or the garbage collector releases its memory.
#pragma once
#include <napi.h>

#include <memory>

#include "segmenter.h"

namespace clip_es::binding {

class EncodedImageWrap : public Napi::ObjectWrap<EncodedImageWrap> {
 public:
  static Napi::Function define(Napi::Env);
  // A new object with the properties gridWidth, gridHeight and timings.
  static Napi::Value wrap(Napi::Env, const Napi::FunctionReference& constructor, std::shared_ptr<const EncodedImage>,
                          const Napi::Object& timings);

  explicit EncodedImageWrap(const Napi::CallbackInfo&);
  void Finalize(Napi::BasicEnv) override;

  std::shared_ptr<const EncodedImage> image() const { return image_; }

 private:
  Napi::Value dispose(const Napi::CallbackInfo&);

  std::shared_ptr<const EncodedImage> image_;
  int64_t reported_bytes_ = 0;  // external memory that the garbage collector knows of
};

}  // namespace clip_es::binding
