// The engine in JavaScript's hands. Every method but cancel() returns a promise and takes a job's number first.
#pragma once
#include <napi.h>

#include <memory>

#include "job_queue.h"
#include "segmenter.h"

namespace clip_es::binding {

class SegmenterWrap : public Napi::ObjectWrap<SegmenterWrap> {
 public:
  static Napi::Function define(Napi::Env);
  explicit SegmenterWrap(const Napi::CallbackInfo&);
  void Finalize(Napi::BasicEnv) override;

 private:
  Napi::Value open(const Napi::CallbackInfo&);         // (id, libtorch, archive, settings) -> model
  Napi::Value encode_text(const Napi::CallbackInfo&);  // (id, tokens: Int32Array, embeddings: Float32Array) -> undefined
  Napi::Value encode(const Napi::CallbackInfo&);       // (id, image) -> EncodedImage
  Napi::Value embeddings(const Napi::CallbackInfo&);   // (id, EncodedImage, image: Float32Array, patches?: Float32Array) -> undefined
  Napi::Value segment(const Napi::CallbackInfo&);      // (id, image | EncodedImage, texts, settings, outputs) -> timings
  Napi::Value close(const Napi::CallbackInfo&);        // (id) -> undefined; waiting jobs reject with ERR_CLOSED
  void cancel(const Napi::CallbackInfo&);              // (id)

  struct SegmentJob;

  template <class T>
  std::unique_ptr<T> new_job(const Napi::CallbackInfo&, std::initializer_list<int> kept_arguments);
  Segmenter& at(const Turn&);
  void segment_together(std::span<const std::unique_ptr<Job>>, const Turn&);

  std::vector<std::unique_ptr<Segmenter>> segmenters_;  // one of each thread of the queue, side by side, from open to close
  SegmenterSettings settings_;
  int64_t reported_ = 0;  // bytes that the garbage collector was told of
  JobQueue queue_;        // last, so that its threads end before what they work on
};

}  // namespace clip_es::binding
