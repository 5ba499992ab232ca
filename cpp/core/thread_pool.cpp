#include "core/thread_pool.h"

#include <algorithm>
#include <string>
#include <system_error>
#include <utility>

#include "core/denormals.h"
#include "core/error.h"

namespace clip_es {

ThreadPool::ThreadPool(int threads, std::function<void()> on_start) : size_(threads) {
  try {
    for (int i = 1; i < threads; ++i)
      threads_.emplace_back([this, on_start] {
        const FlushDenormals flush;
        if (on_start) on_start();
        work();
      });
  } catch (const std::system_error& error) {
    const std::string started = std::to_string(threads_.size() + 1);
    close();
    throw Error(ErrorCode::kOutOfMemory, "the system started only " + started + " of " + std::to_string(threads) + " threads (" +
                                             error.what() + "); use fewer threads or fewer segmenters");
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

void ThreadPool::set_threads(int threads) { size_ = std::clamp(threads, 1, static_cast<int>(threads_.size()) + 1); }

void ThreadPool::run(int64_t count, FunctionRef<void(int64_t, int)> body) {
  const int helpers = static_cast<int>(std::min<int64_t>(size_, count)) - 1;
  if (helpers <= 0) {
    for (int64_t index = 0; index < count; ++index) body(index, 0);
    return;
  }
  {
    std::lock_guard lock(mutex_);
    body_ = &body;
    count_ = count;
    next_ = 0;
    failure_ = nullptr;
    open_ = helpers;
  }
  for (int i = 0; i < helpers; ++i) started_.notify_one();
  take_indices(0);
  std::unique_lock lock(mutex_);
  open_ = 0;  // a thread that wakes up after this must not work on the next loop with a worker number of this loop
  finished_.wait(lock, [this] { return busy_ == 0; });
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

void ThreadPool::split(int64_t rows, int64_t smallest, FunctionRef<void(int64_t, int64_t)> body, int64_t step) {
  const int64_t most = (rows + smallest - 1) / smallest;
  const int64_t blocks = std::clamp<int64_t>(most, 1, size());
  run(blocks, [&](int64_t block, int) {
    const auto edge = [&](int64_t i) { return i == blocks ? rows : rows * i / blocks / step * step; };
    if (edge(block) < edge(block + 1)) body(edge(block), edge(block + 1));
  });
}

void ThreadPool::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    started_.wait(lock, [&] { return closing_ || open_ > 0; });
    if (closing_) return;
    const int worker = open_--;
    ++busy_;
    lock.unlock();
    take_indices(worker);
    lock.lock();
    if (--busy_ == 0) finished_.notify_one();
  }
}

void ThreadPool::take_indices(int worker) {
  try {
    for (int64_t index; (index = next_.fetch_add(1)) < count_;) (*body_)(index, worker);
  } catch (...) {
    next_ = count_;  // no thread starts a further index
    std::lock_guard lock(mutex_);
    if (!failure_) failure_ = std::current_exception();
  }
}

}  // namespace clip_es
