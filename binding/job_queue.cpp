#include "job_queue.h"

#include <algorithm>
#include <string>
#include <system_error>

#include "core/error.h"

namespace clip_es::binding {

using Clock = std::chrono::steady_clock;

JobQueue::JobQueue(SettleFunction settle, BatchFunction run_batch) : settle_(std::move(settle)), run_batch_(std::move(run_batch)) {
  start_thread();
}

JobQueue::~JobQueue() { stop(); }

void JobQueue::start_thread() {
  const int thread = static_cast<int>(threads_.size());
  {
    const std::lock_guard lock(mutex_);
    if (batches_.size() == threads_.size()) batches_.emplace_back();
  }
  try {
    threads_.emplace_back([this, thread] { run_thread(thread); });
  } catch (const std::system_error& error) {
    throw Error(ErrorCode::kOutOfMemory,
                std::string("the system could not start another thread (") + error.what() + "); close segmenters that are not needed");
  }
}

void JobQueue::configure(const QueueSettings& settings) {
  while (static_cast<int>(threads_.size()) < settings.concurrency) start_thread();
  const std::lock_guard lock(mutex_);
  settings_ = settings;
}

void JobQueue::push(std::unique_ptr<Job> job) {
  job->queued_at = Clock::now();
  std::unique_lock lock(mutex_);
  if (stopping_) {
    lock.unlock();
    job->failure = Failure::stopped();
    return settle_(std::move(job));
  }
  waiting_.push_back(std::move(job));
  lock.unlock();
  wake_.notify_all();  // notify_one() could wake a thread that must not start this job
}

void JobQueue::cancel(uint32_t id) {
  std::unique_ptr<Job> cancelled;
  {
    const std::lock_guard lock(mutex_);
    for (Batch& batch : batches_) {
      for (const auto& job : batch.jobs)
        if (job->id == id) job->cancelled = true;
      batch.cancelled = std::ranges::all_of(batch.jobs, [](const auto& job) { return job->cancelled.load(); });
    }
    const auto found = std::ranges::find_if(waiting_, [id](const auto& job) { return job->id == id; });
    if (found == waiting_.end()) return;
    cancelled = std::move(*found);
    waiting_.erase(found);
  }
  wake_.notify_all();  // the next job may be able to start now
  cancelled->failure = Failure::cancelled();
  settle_(std::move(cancelled));
}

void JobQueue::reject_waiting(const Failure& failure) {
  std::deque<std::unique_ptr<Job>> rejected;
  {
    const std::lock_guard lock(mutex_);
    rejected.swap(waiting_);
  }
  for (auto& job : rejected) {
    job->failure = failure;
    settle_(std::move(job));
  }
}

void JobQueue::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    for (Batch& batch : batches_) {
      for (const auto& job : batch.jobs) job->cancelled = true;
      batch.cancelled = true;
    }
  }
  wake_.notify_all();
  for (std::thread& thread : threads_)
    if (thread.joinable()) thread.join();
  reject_waiting(Failure::stopped());
}

void JobQueue::run_thread(int thread) {
  std::unique_lock lock(mutex_);
  Batch& batch = batches_[thread];
  while (wait_for_work(lock, thread)) {
    fill(batch);
    const JobContext context{batch.cancelled, thread, active_threads()};
    lock.unlock();
    wake_.notify_all();  // another thread may start the next job, now that this one is busy
    run(batch, context);
    lock.lock();
    std::vector<std::unique_ptr<Job>> done;
    done.swap(batch.jobs);  // makes this thread idle, so that it can take a job that settling these jobs pushes
    lock.unlock();
    for (auto& job : done) settle_(std::move(job));
    lock.lock();
    unsettled_ -= done.size();
    wake_.notify_all();  // an exclusive job may wait for this
  }
}

void JobQueue::run(Batch& batch, const JobContext& context) const {
  Job& first = *batch.jobs.front();
  try {
    if (first.can_batch) return run_batch_(batch.jobs, context);
    first.work(context);
  } catch (...) {
    for (const auto& job : batch.jobs) job->failure = current_failure();
  }
}

// Returns false if the queue is stopping.
bool JobQueue::wait_for_work(std::unique_lock<std::mutex>& lock, int thread) {
  for (;;) {
    wake_.wait(lock, [&] { return stopping_ || can_start(thread); });
    if (stopping_) return false;
    const Clock::time_point start = start_time();
    if (Clock::now() >= start) return true;
    wake_.wait_until(lock, start);
  }
}

bool JobQueue::can_start(int thread) const {
  if (waiting_.empty() || thread >= settings_.concurrency) return false;
  if (waiting_.front()->exclusive && unsettled_ > 0) return false;
  // Thread 0 has priority, because its segmenter can use all cores. It also runs every exclusive job, because all threads are idle then.
  if (thread == 0) return true;
  const auto& jobs = batches_.front().jobs;
  return !jobs.empty() && !jobs.front()->exclusive;
}

// The earliest time at which the first waiting job starts. A batch waits for more jobs, unless it is full or another kind of job follows.
Clock::time_point JobQueue::start_time() const {
  const size_t size = batch_size();
  const bool can_grow = size > 0 && size < settings_.max_batch && size == waiting_.size();
  if (!can_grow) return Clock::time_point::min();
  return waiting_.front()->queued_at + std::chrono::duration_cast<Clock::duration>(settings_.max_delay);
}

// The number of jobs at the front of the queue that can share a batch. 0 if the first job cannot join a batch.
size_t JobQueue::batch_size() const {
  size_t size = 0;
  while (size < waiting_.size() && size < settings_.max_batch && waiting_[size]->can_batch) ++size;
  return size;
}

int JobQueue::busy_threads() const {
  return static_cast<int>(std::ranges::count_if(batches_, [](const Batch& batch) { return !batch.jobs.empty(); }));
}

// The number of threads that are busy or will start a waiting job now.
int JobQueue::active_threads() const {
  const size_t batches = (waiting_.size() + settings_.max_batch - 1) / settings_.max_batch;
  const size_t limit = settings_.concurrency;
  return static_cast<int>(std::min(limit, static_cast<size_t>(busy_threads()) + batches));
}

void JobQueue::fill(Batch& batch) {
  const auto now = Clock::now();
  for (size_t left = std::max<size_t>(batch_size(), 1); left > 0; --left) {
    batch.jobs.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
    Job& job = *batch.jobs.back();
    job.queue_seconds = std::chrono::duration<double>(now - job.queued_at).count();
  }
  batch.cancelled = false;
  unsettled_ += batch.jobs.size();
}

}  // namespace clip_es::binding
