// The dense CRF by itself: threads, scratch memory and a queue of its own, no model and no LibTorch.
#pragma once
#include <napi.h>

#include <memory>

#include "core/context.h"
#include "job_queue.h"

namespace clip_es::binding {

class CrfWrap : public Napi::ObjectWrap<CrfWrap> {
 public:
  static Napi::Function define(Napi::Env);
  explicit CrfWrap(const Napi::CallbackInfo&);  // (threads)

 private:
  // (id, { rgb: Uint8Array, width, height, scores: Float32Array, labels }, settings,
  //  { marginals: Float32Array, mask: Uint8Array, confidence: Float32Array }) -> undefined
  Napi::Value run(const Napi::CallbackInfo&);
  void cancel(const Napi::CallbackInfo&);  // (id)

  int threads_;
  std::unique_ptr<ThreadPool> pool_;  // started by a job, whose promise rejects where the system starts no more threads
  Arena arena_;
  JobQueue queue_;  // last, so that its thread ends before what it works on
};

}  // namespace clip_es::binding
