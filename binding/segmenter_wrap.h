// The engine's segmenter as a JavaScript object. Its methods convert the arguments and queue a job for the engine.
#pragma once
#include <napi.h>

#include <memory>
#include <vector>

#include "promise_queue.h"
#include "segmenter.h"

namespace clip_es::binding {

class SegmenterWrap : public Napi::ObjectWrap<SegmenterWrap> {
 public:
  static Napi::Function define(Napi::Env);
  explicit SegmenterWrap(const Napi::CallbackInfo&);
  void Finalize(Napi::BasicEnv) override;

 private:
  // The first argument of each is the job's id, for cancel(). Each returns a promise.
  Napi::Value queue_open(const Napi::CallbackInfo&);         // (id, libtorch, archive, settings) -> model
  Napi::Value queue_encode_text(const Napi::CallbackInfo&);  // (id, tokens: Int32Array, embeddings: Float32Array) -> undefined
  Napi::Value queue_encode(const Napi::CallbackInfo&);       // (id, image) -> EncodedImage
  Napi::Value queue_embeddings(const Napi::CallbackInfo&);   // (id, EncodedImage, image: Float32Array, patches?: Float32Array) -> undefined
  Napi::Value queue_embed_crops(const Napi::CallbackInfo&);  // (id, image, boxes: Int32Array, embeddings: Float32Array) -> timings
  Napi::Value queue_segment(const Napi::CallbackInfo&);      // (id, image | EncodedImage, texts, settings, outputs) -> timings
  Napi::Value queue_close(const Napi::CallbackInfo&);        // (id) -> undefined; rejects waiting jobs with ERR_CLOSED
  void cancel(const Napi::CallbackInfo&);                    // (id) -> undefined, not a promise

  struct TimedJob;
  struct EncodeJob;
  struct SegmentJob;

  template <class T>
  std::unique_ptr<T> new_job(const Napi::CallbackInfo&, std::initializer_list<size_t> referenced_arguments);
  void open(const std::string& archive, const SegmenterSettings&, int concurrency, const std::atomic<bool>& cancelled);
  void close();
  Segmenter& segmenter_of(const JobContext&);
  void run_batch(std::span<const std::unique_ptr<Job>>, const JobContext&);

  std::vector<std::unique_ptr<Segmenter>> segmenters_;  // one for each thread of the queue, with one shared model; empty once closed
  SegmenterSettings settings_;
  int64_t reported_bytes_ = 0;  // external memory that the garbage collector knows of
  PromiseQueue queue_;          // the last member: its threads must end before the other members are destroyed
};

}  // namespace clip_es::binding
