// What the tests of the job queue share: events to wait for, and a queue that keeps its settled jobs. Waits are
// limited, so that a broken queue fails a test instead of blocking it.
#pragma once
#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "binding/job_queue.h"

namespace job_queue_support {

using namespace clip_es::binding;

constexpr std::chrono::seconds kLongest{10};
// Long enough to see a job start that must not start.
constexpr std::chrono::milliseconds kShort{50};

class Event {
 public:
  void set() {
    const std::lock_guard lock(mutex_);
    is_set_ = true;
    changed_.notify_all();
  }
  template <class Duration = std::chrono::seconds>
  bool wait(Duration longest = kLongest) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, longest, [this] { return is_set_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool is_set_ = false;
};

// A job that runs until the test releases it.
struct Blocker {
  Event started, released;
  int thread = -1, active_threads = 0;

  std::function<void(const JobContext&)> work() {
    return [this](const JobContext& context) {
      thread = context.thread;
      active_threads = context.active_threads;
      started.set();
      released.wait(2 * kLongest);  // longer than the test waits: only the test ends this job
    };
  }
};

inline void wait_until_cancelled(const std::atomic<bool>& cancelled) {
  const auto deadline = std::chrono::steady_clock::now() + kLongest;
  while (!cancelled && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
}

inline std::unique_ptr<Job> new_job(
    uint32_t id, std::function<void(const JobContext&)> work = [](const JobContext&) {}) {
  auto job = std::make_unique<Job>(id);
  job->work = std::move(work);
  return job;
}

inline std::unique_ptr<Job> new_batch_job(uint32_t id) {
  auto job = std::make_unique<Job>(id);
  job->can_batch = true;
  return job;
}

inline std::unique_ptr<Job> new_exclusive_job(uint32_t id, std::function<void(const JobContext&)> work) {
  auto job = new_job(id, std::move(work));
  job->exclusive = true;
  return job;
}

// A queue and its settled jobs, in the order of their ends.
class TestQueue {
 public:
  explicit TestQueue(const QueueSettings& settings = {}, BatchFunction run_batch = {})
      : queue_([this](std::unique_ptr<Job> job) { add(std::move(job)); }, std::move(run_batch)) {
    queue_.configure(settings);
  }
  JobQueue* operator->() { return &queue_; }

  bool wait_for(size_t count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kLongest, [&] { return settled_.size() >= count; });
  }
  std::vector<uint32_t> ids() {
    const std::lock_guard lock(mutex_);
    std::vector<uint32_t> ids;
    for (const auto& job : settled_) ids.push_back(job->id);
    return ids;
  }
  // Null if the job is not settled.
  const Job* find(uint32_t id) {
    const std::lock_guard lock(mutex_);
    const auto found = std::ranges::find_if(settled_, [id](const auto& job) { return job->id == id; });
    return found == settled_.end() ? nullptr : found->get();
  }
  // Empty if the job succeeded.
  std::string code(uint32_t id) {
    const Job* job = find(id);
    if (!job) return "not settled";
    return job->failure ? job->failure->code : "";
  }

 private:
  void add(std::unique_ptr<Job> job) {
    const std::lock_guard lock(mutex_);
    settled_.push_back(std::move(job));
    changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::unique_ptr<Job>> settled_;
  JobQueue queue_;  // the last member: its threads must end before the other members are destroyed
};

}  // namespace job_queue_support
