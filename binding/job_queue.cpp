#include "job_queue.h"

#include <algorithm>
#include <system_error>

#include "core/error.h"

namespace clip_es::binding {
namespace {

Failure stopped() { return {"ERR_CLOSED", "the segmenter's thread has ended: it was closed, or its process or worker thread is exiting"}; }

// JavaScript is gone: its references are not ours to release any more.
void forget(std::unique_ptr<Job> job) {
  for (Napi::ObjectReference& reference : job->kept) reference.SuppressDestruct();
}

void check(napi_env env, napi_status status) {
  if (status != napi_ok) throw Napi::Error::New(env);
}

}  // namespace

JobQueue::JobQueue(Napi::Env env, JobQueues& siblings, Together together) : env_(env), siblings_(siblings), together_(std::move(together)) {
  check(env, napi_create_threadsafe_function(env, nullptr, nullptr, Napi::String::New(env, "clip-es"), 0, 1, nullptr, nullptr, this, settle,
                                             &settled_));
  check(env, napi_unref_threadsafe_function(env, settled_));
  try {
    start_thread();
  } catch (const Napi::Error&) {
    napi_release_threadsafe_function(settled_, napi_tsfn_abort);
    throw;
  }
  // Registered after the function's own hook and therefore run before it: the threads end while they may still hand jobs over.
  check(env, napi_add_env_cleanup_hook(env, at_exit, this));
  siblings_.insert(this);
}

void JobQueue::start_thread() {
  const int number = static_cast<int>(threads_.size());
  {
    const std::lock_guard lock(mutex_);
    running_.emplace_back();
  }
  try {
    threads_.emplace_back([this, number] { loop(number); });
  } catch (const std::system_error& error) {
    throw Napi::Error(env_, to_js(env_, {name_of(ErrorCode::kOutOfMemory), std::string("the system starts no further thread (") +
                                                                               error.what() + "): close segmenters that are not needed"}));
  }
}

void JobQueue::grow(const QueueSettings& settings) {
  while (static_cast<int>(threads_.size()) < settings.threads) start_thread();
  const std::lock_guard lock(mutex_);
  settings_ = settings;
}

JobQueue::~JobQueue() {
  if (!settled_) return;  // at_exit came first
  napi_remove_env_cleanup_hook(env_, at_exit, this);
  at_exit(this);
}

void JobQueue::at_exit(void* self) {
  auto& queue = *static_cast<JobQueue*>(self);
  queue.stop();
  queue.siblings_.erase(&queue);
  // What was handed over and not settled comes to settle() once more, without JavaScript.
  napi_release_threadsafe_function(std::exchange(queue.settled_, nullptr), napi_tsfn_abort);
}

void JobQueue::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    for (Running& running : running_) {
      for (const auto& job : running.jobs) job->cancelled = true;
      running.cancelled = true;
    }
  }
  wake_.notify_all();
  for (std::thread& thread : threads_)
    if (thread.joinable()) thread.join();
  reject_waiting(stopped());
}

Napi::Promise JobQueue::push(Napi::Env env, std::unique_ptr<Job> job) {
  const Napi::Promise promise = job->deferred.Promise();
  if (pending_++ == 0) check(env, napi_ref_threadsafe_function(env, settled_));
  if (stopping_) {  // by this thread alone
    job->failure = stopped();
    hand_over(std::move(job));
    return promise;
  }
  {
    std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(job));
  }
  wake_.notify_all();  // one thread may be the only one that may take it
  return promise;
}

void JobQueue::cancel(uint32_t id) {
  std::unique_ptr<Job> taken;
  {
    std::lock_guard lock(mutex_);
    for (Running& running : running_) {
      for (const auto& job : running.jobs)
        if (job->id == id) job->cancelled = true;
      running.cancelled = std::ranges::all_of(running.jobs, [](const auto& job) { return job->cancelled.load(); });
    }
    const auto found = std::find_if(waiting_.begin(), waiting_.end(), [id](const auto& job) { return job->id == id; });
    if (found == waiting_.end()) return;
    taken = std::move(*found);
    waiting_.erase(found);
  }
  taken->failure = Failure::cancelled();
  hand_over(std::move(taken));
}

void JobQueue::reject_waiting(const Failure& failure) {
  std::deque<std::unique_ptr<Job>> taken;
  {
    std::lock_guard lock(mutex_);
    taken.swap(waiting_);
  }
  for (auto& job : taken) {
    job->failure = failure;
    hand_over(std::move(job));
  }
}

// The first thread comes first, as it has all of the processor's cores when it is alone; further ones take what it cannot.
bool JobQueue::may_take(int thread) const {
  if (waiting_.empty()) return false;
  if (waiting_.front()->is_last) return busy_ == 0 && thread == 0;
  return thread == 0 || !running_.front().jobs.empty();
}

// How many of the waiting jobs, from the first on, may be done together.
size_t JobQueue::joining() const {
  size_t count = 0;
  while (count < waiting_.size() && count < settings_.max_batch && waiting_[count]->joins) ++count;
  return count;
}

// How many threads have something to do, those included that are about to take what waits.
int JobQueue::sharing() const {
  const size_t more = (waiting_.size() + settings_.max_batch - 1) / settings_.max_batch;
  return std::min(settings_.threads, busy_ + static_cast<int>(std::min<size_t>(more, static_cast<size_t>(settings_.threads))));
}

void JobQueue::take(Running& running) {
  const auto now = std::chrono::steady_clock::now();
  for (size_t left = std::max<size_t>(joining(), 1); left > 0; --left) {
    running.jobs.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
    running.jobs.back()->waited = std::chrono::duration<double>(now - running.jobs.back()->queued_at).count();
  }
  running.cancelled = false;
  ++busy_;
}

void JobQueue::loop(int thread) {
  std::unique_lock lock(mutex_);
  Running& running = running_[static_cast<size_t>(thread)];  // stays where it is when others are added
  for (;;) {
    wake_.wait(lock, [&] { return stopping_ || may_take(thread); });
    if (stopping_) return;
    // A batch waits for more, unless other work is behind it already.
    if (const size_t joined = joining(); joined < settings_.max_batch && joined == waiting_.size() && settings_.max_delay.count() > 0) {
      const auto deadline =
          waiting_.front()->queued_at + std::chrono::duration_cast<std::chrono::steady_clock::duration>(settings_.max_delay);
      if (std::chrono::steady_clock::now() < deadline) {
        wake_.wait_until(lock, deadline);
        continue;
      }
    }
    take(running);
    const Turn turn{running.cancelled, thread, sharing()};
    lock.unlock();
    wake_.notify_all();  // further threads, now that this one is busy
    run(running, turn);
    lock.lock();
    std::vector<std::unique_ptr<Job>> done = std::move(running.jobs);
    running.jobs.clear();
    --busy_;
    lock.unlock();
    wake_.notify_all();  // a job that waits until all have ended
    for (auto& job : done) hand_over(std::move(job));
    lock.lock();
  }
}

void JobQueue::run(Running& running, const Turn& turn) {
  Job& first = *running.jobs.front();
  try {
    if (first.joins) return together_(running.jobs, turn);
    if (first.cancelled) throw Cancelled{};
    first.work(turn);
  } catch (...) {
    for (const auto& job : running.jobs) job->failure = current_failure();
  }
}

void JobQueue::hand_over(std::unique_ptr<Job> job) {
  Job* raw = job.release();
  if (napi_call_threadsafe_function(settled_, raw, napi_tsfn_nonblocking) != napi_ok) forget(std::unique_ptr<Job>(raw));
}

void JobQueue::settle(napi_env raw_env, napi_value, void* self, void* raw_job) {
  std::unique_ptr<Job> job(static_cast<Job*>(raw_job));
  if (!raw_env) return forget(std::move(job));
  const Napi::Env env(raw_env);
  const Napi::HandleScope scope(env);
  auto& queue = *static_cast<JobQueue*>(self);
  if (--queue.pending_ == 0) napi_unref_threadsafe_function(env, queue.settled_);
  try {
    settle(env, *job);
  } catch (const Napi::Error&) {
    // worker.terminate() has come between: no JavaScript runs here any more, and nobody waits for the promise.
  }
}

void JobQueue::settle(Napi::Env env, Job& job) {
  if (job.failure) return job.deferred.Reject(to_js(env, *job.failure));
  Napi::Value result;
  try {
    result = job.result(env);
  } catch (const Napi::Error& error) {
    return job.deferred.Reject(error.Value());
  }
  job.deferred.Resolve(result);
}

}  // namespace clip_es::binding
