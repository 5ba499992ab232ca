#include "promise_queue.h"

#include <utility>

#include "convert.h"

namespace clip_es::binding {
namespace {

// Deletes a job whose JavaScript environment has ended, together with its references.
void abandon(std::unique_ptr<PromiseJob> job) {
  for (Napi::ObjectReference& reference : job->references) reference.SuppressDestruct();
}

void check(napi_env env, napi_status status) {
  if (status != napi_ok) throw Napi::Error::New(env);
}

void settle_promise(Napi::Env env, PromiseJob& job) {
  if (job.failure) return job.deferred.Reject(to_js(env, *job.failure));
  Napi::Value result = env.Undefined();
  try {
    if (job.result) result = job.result(env);
  } catch (const Napi::Error& error) {
    return job.deferred.Reject(error.Value());
  } catch (...) {
    return job.deferred.Reject(to_js(env, current_failure()));
  }
  job.deferred.Resolve(result);
}

}  // namespace

PromiseQueue::PromiseQueue(Napi::Env env, OpenQueues& open_queues, BatchFunction run_batch) : env_(env), open_queues_(open_queues) {
  check(env, napi_create_threadsafe_function(env, nullptr, nullptr, Napi::String::New(env, "clip-es"), 0, 1, nullptr, nullptr, this,
                                             on_settled, &to_javascript_));
  check(env, napi_unref_threadsafe_function(env, to_javascript_));
  try {
    jobs_.emplace([this](std::unique_ptr<Job> job) { hand_over(std::move(job)); }, std::move(run_batch));
  } catch (...) {
    napi_release_threadsafe_function(to_javascript_, napi_tsfn_abort);
    throw Napi::Error(env, to_js(env, current_failure()));
  }
  // Hooks run in reverse order: this one runs before that of the threadsafe function, so that the threads can still hand over jobs.
  check(env, napi_add_env_cleanup_hook(env, close, this));
  open_queues_.insert(this);
}

PromiseQueue::~PromiseQueue() {
  if (!to_javascript_) return;
  napi_remove_env_cleanup_hook(env_, close, this);
  close(this);
}

void PromiseQueue::close(void* self) {
  auto& queue = *static_cast<PromiseQueue*>(self);
  queue.stop();
  queue.open_queues_.erase(&queue);
  // Calls on_settled() without an environment for jobs that were handed over and whose promises are still pending.
  napi_release_threadsafe_function(std::exchange(queue.to_javascript_, nullptr), napi_tsfn_abort);
}

Napi::Promise PromiseQueue::push(Napi::Env env, std::unique_ptr<PromiseJob> job) {
  const Napi::Promise promise = job->deferred.Promise();
  if (pending_++ == 0) check(env, napi_ref_threadsafe_function(env, to_javascript_));
  jobs_->push(std::move(job));
  return promise;
}

void PromiseQueue::hand_over(std::unique_ptr<Job> job) {
  auto* raw_job = static_cast<PromiseJob*>(job.release());
  const napi_status status = napi_call_threadsafe_function(to_javascript_, raw_job, napi_tsfn_nonblocking);
  if (status != napi_ok) abandon(std::unique_ptr<PromiseJob>(raw_job));
}

void PromiseQueue::on_settled(napi_env raw_env, napi_value, void* self, void* raw_job) {
  std::unique_ptr<PromiseJob> job(static_cast<PromiseJob*>(raw_job));
  if (!raw_env) return abandon(std::move(job));
  const Napi::Env env(raw_env);
  const Napi::HandleScope scope(env);
  auto& queue = *static_cast<PromiseQueue*>(self);
  if (--queue.pending_ == 0) napi_unref_threadsafe_function(env, queue.to_javascript_);
  try {
    settle_promise(env, *job);
  } catch (const Napi::Error&) {
    // worker.terminate() ended the environment: no JavaScript can run, and nobody waits for the promise.
  }
}

}  // namespace clip_es::binding
