// Native threads that take jobs in order, so that neither the event loop nor libuv's pool waits for a network.
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
#include <span>
#include <thread>
#include <vector>

#include "errors.h"

namespace clip_es::binding {

// What a job is told when it begins.
struct Turn {
  const std::atomic<bool>& cancelled;
  int thread;   // of the queue
  int sharing;  // threads of the queue that have something to do, this one included
};

struct Job {
  Job(Napi::Env env, uint32_t number) : id(number), deferred(Napi::Promise::Deferred::New(env)) {}
  virtual ~Job() = default;

  uint32_t id;                                   // the caller's name for it, to cancel it by
  std::function<void(const Turn&)> work;         // on a native thread; throws to fail
  bool joins = false;                            // instead of work: may be done together with others, see JobQueue::grow
  bool is_last = false;                          // begins once all others have ended
  std::function<Napi::Value(Napi::Env)> result;  // on the JavaScript thread, after success
  Napi::Promise::Deferred deferred;
  std::vector<Napi::ObjectReference> kept;  // what the work reads and writes, kept alive until the promise is settled
  std::atomic<bool> cancelled{false};
  std::optional<Failure> failure;
  std::chrono::steady_clock::time_point queued_at = std::chrono::steady_clock::now();
  double waited = 0;  // seconds in the queue
};

class JobQueue;
using JobQueues = std::set<JobQueue*>;

// Does jobs that join; a job's own failure is put into it.
using Together = std::function<void(std::span<const std::unique_ptr<Job>>, const Turn&)>;

struct QueueSettings {
  int threads = 1;                             // jobs, or batches of them, at a time
  size_t max_batch = 1;                        // jobs that are done together
  std::chrono::duration<double> max_delay{0};  // for which a job waits until its batch is full
};

// All methods are called on the JavaScript thread.
class JobQueue {
 public:
  // With one thread. Enters itself into `siblings` for its life. Throws Napi::Error when the system starts no further thread.
  JobQueue(Napi::Env, JobQueues& siblings, Together together = {});
  ~JobQueue();
  JobQueue(const JobQueue&) = delete;
  JobQueue& operator=(const JobQueue&) = delete;

  // Takes other settings, while no job waits or runs. Throws as the constructor does.
  void grow(const QueueSettings&);
  Napi::Promise push(Napi::Env, std::unique_ptr<Job>);
  // Asks a job to stop: a waiting one is settled without running, a running one at its next checkpoint.
  void cancel(uint32_t id);
  // Settles all waiting jobs with this failure; running ones are left to end.
  void reject_waiting(const Failure&);
  // Cancels what runs, rejects what waits and all that comes, and waits until the threads have ended.
  void stop();

 private:
  // Jobs that a thread does now; none when it is idle.
  struct Running {
    std::vector<std::unique_ptr<Job>> jobs;
    std::atomic<bool> cancelled{false};  // all of them
  };

  static void at_exit(void* self);
  static void settle(napi_env, napi_value, void* self, void* job);
  static void settle(Napi::Env, Job&);
  void start_thread();
  void loop(int thread);
  bool may_take(int thread) const;
  size_t joining() const;
  int sharing() const;
  void take(Running&);
  void run(Running&, const Turn&);
  void hand_over(std::unique_ptr<Job>);

  Napi::Env env_;
  JobQueues& siblings_;
  Together together_;
  napi_threadsafe_function settled_ = nullptr;  // carries finished jobs to the JavaScript thread
  int pending_ = 0;                             // pushed and not settled; while there are any, the event loop stays alive
  std::mutex mutex_;
  std::condition_variable wake_;
  QueueSettings settings_;
  std::deque<std::unique_ptr<Job>> waiting_;
  std::deque<Running> running_;  // by thread
  int busy_ = 0;                 // threads that run something
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace clip_es::binding
