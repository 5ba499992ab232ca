// A queue of jobs with its own threads, so that neither the event loop nor libuv's thread pool waits for the engine. It does not use
// JavaScript: promise_queue.h connects its jobs to promises.
#pragma once
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "errors.h"

namespace clip_es::binding {

// The state of the queue that is passed to running jobs.
struct JobContext {
  const std::atomic<bool>& cancelled;  // becomes true once every job of the batch is cancelled
  int thread;                          // index of the queue's thread, below QueueSettings::concurrency
  int active_threads;                  // threads of the queue that have work, this one included
};

struct Job {
  explicit Job(uint32_t job_id) : id(job_id) {}
  virtual ~Job() = default;

  const uint32_t id;  // chosen by the caller, for cancel()

  // A thread of the queue runs `work`, or the queue's BatchFunction if the job can join a batch.
  std::function<void(const JobContext&)> work;  // an exception makes the job fail
  bool can_batch = false;
  bool exclusive = false;  // starts when all jobs before it are settled, and ends before the next starts; cannot join a batch

  // Set by the queue.
  std::atomic<bool> cancelled{false};
  std::optional<Failure> failure;
  std::chrono::steady_clock::time_point queued_at;
  double queue_seconds = 0;  // how long the job waited
};

// Runs a batch. It throws if the whole batch fails, and sets Job::failure of single jobs that fail. It reads Job::cancelled.
using BatchFunction = std::function<void(std::span<const std::unique_ptr<Job>>, const JobContext&)>;

// Called with each job that has ended, failed or was rejected. It can be called on any thread, but not while the queue is locked.
using SettleFunction = std::function<void(std::unique_ptr<Job>)>;

struct QueueSettings {
  int concurrency = 1;                         // threads: jobs or batches that run at the same time
  size_t max_batch = 1;                        // jobs in a batch
  std::chrono::duration<double> max_delay{0};  // how long a job waits for its batch to become full
};

// Starts jobs in the order of push(). Each job is settled exactly once. One thread owns the queue and calls its methods.
class JobQueue {
 public:
  // Starts the first thread. Throws Error kOutOfMemory if the system cannot start it.
  explicit JobQueue(SettleFunction, BatchFunction = {});
  ~JobQueue();
  JobQueue(const JobQueue&) = delete;
  JobQueue& operator=(const JobQueue&) = delete;

  // Call it while no job waits or runs. Throws the constructor's error, and then keeps the previous settings.
  void configure(const QueueSettings&);
  void push(std::unique_ptr<Job>);
  // Settles a waiting job at once. Sets Job::cancelled of a running one, which ends at its next checkpoint.
  void cancel(uint32_t id);
  // Settles all waiting jobs with this failure. Running jobs go on.
  void reject_waiting(const Failure&);
  // Cancels running jobs, waits for the threads to end, and settles waiting and later jobs with Failure::stopped().
  void stop();

 private:
  // The jobs that a thread runs. A job that cannot join a batch is a batch of one.
  struct Batch {
    std::vector<std::unique_ptr<Job>> jobs;  // empty while the thread is idle
    std::atomic<bool> cancelled{false};
  };

  void start_thread();
  void run_thread(int thread);
  void run(Batch&, const JobContext&) const;

  // The caller of these holds the lock.
  bool wait_for_work(std::unique_lock<std::mutex>&, int thread);
  bool can_start(int thread) const;
  std::chrono::steady_clock::time_point start_time() const;
  size_t batch_size() const;
  int busy_threads() const;
  int active_threads() const;
  void fill(Batch&);

  const SettleFunction settle_;
  const BatchFunction run_batch_;
  std::mutex mutex_;  // guards the members below, except threads_
  std::condition_variable wake_;
  QueueSettings settings_;
  std::deque<std::unique_ptr<Job>> waiting_;
  size_t unsettled_ = 0;       // jobs that were started but are not settled yet
  std::deque<Batch> batches_;  // by thread; a deque, because a running batch must not move when threads are added
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace clip_es::binding
