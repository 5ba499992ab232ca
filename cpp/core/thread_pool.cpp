#include "core/thread_pool.h"

#include <algorithm>
#include <string>
#include <system_error>
#include <utility>

#include "core/denormals.h"
#include "core/error.h"

namespace clip_es {

ThreadPool::ThreadPool(int threads, std::function<void()> on_start) {
  try {
    for (int worker = 1; worker < threads; ++worker)
      threads_.emplace_back([this, worker, on_start] {
        const FlushDenormals flush;
        if (on_start) on_start();
        work(worker);
      });
  } catch (const std::system_error& error) {
    const std::string started = std::to_string(size());
    close();
    throw Error(ErrorCode::kOutOfMemory, "only " + started + " of " + std::to_string(threads) + " threads could be started (" +
                                             error.what() + "): fewer threads, or fewer segmenters, need less");
  }
}

ThreadPool::~ThreadPool() { close(); }

void ThreadPool::close() {
  {
    std::lock_guard lock(mutex_);
    closing_ = true;
  }
  started_.notify_all();
  for (auto& thread : threads_) thread.join();
}

void ThreadPool::run(int64_t count, FunctionRef<void(int64_t, int)> body) {
  if (threads_.empty() || count <= 1) {
    for (int64_t index = 0; index < count; ++index) body(index, 0);
    return;
  }
  {
    std::lock_guard lock(mutex_);
    body_ = &body;
    count_ = count;
    next_ = 0;
    failure_ = nullptr;
    busy_ = static_cast<int>(threads_.size());
    ++generation_;
  }
  started_.notify_all();
  take_indices(0);
  std::unique_lock lock(mutex_);
  finished_.wait(lock, [this] { return busy_ == 0; });
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

void ThreadPool::split(int64_t rows, int64_t smallest, FunctionRef<void(int64_t, int64_t)> body) {
  const int64_t most = (rows + smallest - 1) / smallest;
  const int64_t blocks = std::clamp<int64_t>(most, 1, size());
  run(blocks, [&](int64_t block, int) {
    const int64_t begin = rows * block / blocks, end = rows * (block + 1) / blocks;
    if (begin < end) body(begin, end);
  });
}

void ThreadPool::work(int worker) {
  for (uint64_t seen = 0;;) {
    {
      std::unique_lock lock(mutex_);
      started_.wait(lock, [&] { return closing_ || generation_ != seen; });
      if (closing_) return;
      seen = generation_;
    }
    take_indices(worker);
    std::lock_guard lock(mutex_);
    if (--busy_ == 0) finished_.notify_one();
  }
}

void ThreadPool::take_indices(int worker) {
  try {
    for (int64_t index; (index = next_.fetch_add(1)) < count_;) (*body_)(index, worker);
  } catch (...) {
    next_ = count_;  // the others stop at their next index
    std::lock_guard lock(mutex_);
    if (!failure_) failure_ = std::current_exception();
  }
}

}  // namespace clip_es
