// An encoded photo in JavaScript's hands: released by dispose(), or when it is collected.
#pragma once
#include <napi.h>

#include <memory>

#include "segmenter.h"

namespace clip_es::binding {

class EncodedImageWrap : public Napi::ObjectWrap<EncodedImageWrap> {
 public:
  static Napi::Function define(Napi::Env);
  static Napi::Value wrap(Napi::Env, const Napi::FunctionReference& constructor, std::shared_ptr<const EncodedImage>);

  explicit EncodedImageWrap(const Napi::CallbackInfo&);
  void Finalize(Napi::BasicEnv) override;

  std::shared_ptr<const EncodedImage> image() const { return image_; }

 private:
  Napi::Value dispose(const Napi::CallbackInfo&);

  std::shared_ptr<const EncodedImage> image_;
  int64_t reported_ = 0;  // bytes that the garbage collector was told of
};

}  // namespace clip_es::binding
