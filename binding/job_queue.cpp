#include "job_queue.h"

#include <algorithm>
#include <system_error>

#include "core/error.h"

namespace clip_es::binding {
namespace {

void run(Job& job) {
  try {
    if (job.cancelled) throw Cancelled{};
    job.work(job.cancelled);
  } catch (...) {
    job.failure = current_failure();
  }
}

Failure stopped() { return {"ERR_CLOSED", "the segmenter's thread has ended: it was closed, or its process or worker thread is exiting"}; }

// JavaScript is gone: its references are not ours to release any more.
void forget(std::unique_ptr<Job> job) {
  for (Napi::ObjectReference& reference : job->kept) reference.SuppressDestruct();
}

void check(napi_env env, napi_status status) {
  if (status != napi_ok) throw Napi::Error::New(env);
}

}  // namespace

JobQueue::JobQueue(Napi::Env env, JobQueues& siblings) : env_(env), siblings_(siblings) {
  check(env, napi_create_threadsafe_function(env, nullptr, nullptr, Napi::String::New(env, "clip-es"), 0, 1, nullptr, nullptr, this, settle,
                                             &settled_));
  check(env, napi_unref_threadsafe_function(env, settled_));
  try {
    thread_ = std::thread([this] { loop(); });
  } catch (const std::system_error& error) {
    napi_release_threadsafe_function(settled_, napi_tsfn_abort);
    throw Napi::Error(env, to_js(env, {name_of(ErrorCode::kOutOfMemory), std::string("the system starts no further thread (") +
                                                                             error.what() + "): close segmenters that are not needed"}));
  }
  // Registered after the function's own hook and therefore run before it: the thread ends while it may still hand jobs over.
  check(env, napi_add_env_cleanup_hook(env, at_exit, this));
  siblings_.insert(this);
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
    if (running_) running_->cancelled = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
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
  wake_.notify_one();
  return promise;
}

void JobQueue::cancel(uint32_t id) {
  std::unique_ptr<Job> taken;
  {
    std::lock_guard lock(mutex_);
    if (running_ && running_->id == id) running_->cancelled = true;
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

void JobQueue::loop() {
  for (;;) {
    std::unique_ptr<Job> job;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
      if (stopping_) return;
      job = std::move(waiting_.front());
      waiting_.pop_front();
      running_ = job.get();
    }
    job->waited = std::chrono::duration<double>(std::chrono::steady_clock::now() - job->queued_at).count();
    run(*job);
    {
      std::lock_guard lock(mutex_);
      running_ = nullptr;
    }
    hand_over(std::move(job));
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
