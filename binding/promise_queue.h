// Connects a JobQueue to JavaScript: each job has a promise, which is settled on the JavaScript thread.
#pragma once
#include <napi.h>

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "job_queue.h"

namespace clip_es::binding {

struct PromiseJob : Job {
  PromiseJob(Napi::Env env, uint32_t job_id) : Job(job_id), deferred(Napi::Promise::Deferred::New(env)) {}

  std::function<Napi::Value(Napi::Env)> result;  // called on the JavaScript thread after success; if empty, the result is undefined
  Napi::Promise::Deferred deferred;
  std::vector<Napi::ObjectReference> references;  // keep the memory that the work uses alive until the promise is settled
};

class PromiseQueue;
using OpenQueues = std::set<PromiseQueue*>;

// All methods are called on the JavaScript thread. While a promise is pending, the event loop stays alive.
class PromiseQueue {
 public:
  // The queue is in `open_queues` until it is destroyed or its environment ends. Every job that can join a batch must be a PromiseJob.
  // Throws Napi::Error if the system cannot start a thread.
  PromiseQueue(Napi::Env, OpenQueues& open_queues, BatchFunction run_batch = {});
  ~PromiseQueue();
  PromiseQueue(const PromiseQueue&) = delete;
  PromiseQueue& operator=(const PromiseQueue&) = delete;

  Napi::Promise push(Napi::Env, std::unique_ptr<PromiseJob>);

  // See JobQueue.
  void configure(const QueueSettings& settings) { jobs_->configure(settings); }
  void cancel(uint32_t id) { jobs_->cancel(id); }
  void reject_waiting(const Failure& failure) { jobs_->reject_waiting(failure); }
  void stop() { jobs_->stop(); }

 private:
  static void close(void* self);
  static void on_settled(napi_env, napi_value, void* self, void* job);
  void hand_over(std::unique_ptr<Job>);

  Napi::Env env_;
  OpenQueues& open_queues_;
  napi_threadsafe_function to_javascript_ = nullptr;  // carries settled jobs to the JavaScript thread; null once closed
  int pending_ = 0;                                   // promises that are not settled
  std::optional<JobQueue> jobs_;                      // its threads use to_javascript_
};

}  // namespace clip_es::binding
