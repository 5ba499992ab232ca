// The dense CRF without a model: it has its own threads, scratch memory and queue, and needs no LibTorch.
#pragma once
#include <napi.h>

#include <memory>

#include "core/context.h"
#include "promise_queue.h"

namespace clip_es::binding {

class CrfWrap : public Napi::ObjectWrap<CrfWrap> {
 public:
  static Napi::Function define(Napi::Env);
  explicit CrfWrap(const Napi::CallbackInfo&);  // (threads)

 private:
  // (id, { rgb: Uint8Array, width, height, scores: Float32Array, labels }, settings,
  //  { marginals: Float32Array, mask: Uint8Array, confidence: Float32Array }) -> Promise<undefined>
  Napi::Value queue_crf(const Napi::CallbackInfo&);
  void cancel(const Napi::CallbackInfo&);  // (id)

  int threads_;
  std::unique_ptr<ThreadPool> pool_;  // created by the first job, whose promise rejects if the system cannot start the threads
  Arena arena_;
  PromiseQueue queue_;  // the last member: its thread must end before the other members are destroyed
};

}  // namespace clip_es::binding
