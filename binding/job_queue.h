// One native thread per segmenter takes jobs in order, so that neither the event loop nor libuv's pool waits for a network.
#pragma once
#include <napi.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <vector>

#include "errors.h"

namespace clip_es::binding {

struct Job {
  Job(Napi::Env env, uint32_t number) : id(number), deferred(Napi::Promise::Deferred::New(env)) {}

  uint32_t id;                                         // the caller's name for it, to cancel it by
  std::function<void(const std::atomic<bool>&)> work;  // on the native thread; throws to fail
  std::function<Napi::Value(Napi::Env)> result;        // on the JavaScript thread, after success
  Napi::Promise::Deferred deferred;
  std::vector<Napi::ObjectReference> kept;  // what the work reads and writes, kept alive until the promise is settled
  std::atomic<bool> cancelled{false};
  std::optional<Failure> failure;
  std::chrono::steady_clock::time_point queued_at = std::chrono::steady_clock::now();
  double waited = 0;  // seconds in the queue
};

class JobQueue;
using JobQueues = std::set<JobQueue*>;

// All methods are called on the JavaScript thread.
class JobQueue {
 public:
  // Enters itself into `siblings` for its life. Throws Napi::Error when the system starts no further thread.
  JobQueue(Napi::Env, JobQueues& siblings);
  ~JobQueue();
  JobQueue(const JobQueue&) = delete;
  JobQueue& operator=(const JobQueue&) = delete;

  Napi::Promise push(Napi::Env, std::unique_ptr<Job>);
  // Asks a job to stop: a waiting one is settled without running, the running one at its next checkpoint.
  void cancel(uint32_t id);
  // Settles all waiting jobs with this failure; the running one is left to end.
  void reject_waiting(const Failure&);
  // Cancels the running job, rejects the waiting ones and all that come, and waits until the thread has ended.
  void stop();

 private:
  static void at_exit(void* self);
  static void settle(napi_env, napi_value, void* self, void* job);
  static void settle(Napi::Env, Job&);
  void loop();
  void hand_over(std::unique_ptr<Job>);

  Napi::Env env_;
  JobQueues& siblings_;
  napi_threadsafe_function settled_ = nullptr;  // carries finished jobs to the JavaScript thread
  int pending_ = 0;                             // pushed and not settled; while there are any, the event loop stays alive
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::unique_ptr<Job>> waiting_;
  Job* running_ = nullptr;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace clip_es::binding
