// A fixed set of threads that share the iterations of loops. The calling thread is one of them, so a pool of 1 starts no thread.
#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace clip_es {

// A non-owning reference to a function, valid during the call that it is passed to. std::function would copy the captures of a lambda to
// the heap for every loop of every image.
template <class Signature>
class FunctionRef;
template <class Result, class... Arguments>
class FunctionRef<Result(Arguments...)> {
 public:
  template <class Function>
  FunctionRef(const Function& function)  // NOLINT: implicit, so that lambdas can be passed
      : function_(&function),
        call_([](const void* f, Arguments... arguments) -> Result { return (*static_cast<const Function*>(f))(arguments...); }) {}
  Result operator()(Arguments... arguments) const { return call_(function_, arguments...); }

 private:
  const void* function_;
  Result (*call_)(const void*, Arguments...);
};

// The fewest pixels for which another thread saves time.
constexpr int64_t kFewestPixels = 1 << 14;

class ThreadPool {
 public:
  // `on_start` runs once on each thread that the pool starts, before any work. Throws Error kOutOfMemory when the system refuses to start
  // a thread.
  explicit ThreadPool(int threads, std::function<void()> on_start = {});
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  // The number of threads that work on a loop, including the calling thread.
  int size() const { return size_; }
  // Uses `threads` of the pool's threads, at least 1 and at most all, in the loops that follow. Not while a loop runs.
  void set_threads(int threads);

  // Calls body(index, worker) for every index in [0, count), in any order. `worker`, in [0, size()), numbers the thread, so that each
  // thread can have scratch memory. Returns when all calls have returned. After an exception no further index starts, and run() rethrows
  // the first exception. One loop at a time: call it from one thread, and never from a body of the same pool.
  void run(int64_t count, FunctionRef<void(int64_t index, int worker)> body);

  // Divides [0, rows) into at most size() blocks of about `smallest` rows or more, and calls body(begin, end) for each. Every block
  // begins at a multiple of `step`.
  void split(int64_t rows, int64_t smallest, FunctionRef<void(int64_t begin, int64_t end)> body, int64_t step = 1);

 private:
  void close();
  void work();
  void take_indices(int worker);

  int size_;
  std::vector<std::thread> threads_;
  std::mutex mutex_;
  std::condition_variable started_, finished_;
  const FunctionRef<void(int64_t, int)>* body_ = nullptr;
  int64_t count_ = 0;
  std::atomic<int64_t> next_{0};
  int open_ = 0;  // worker numbers of the current loop that no thread has taken yet
  int busy_ = 0;  // threads of the pool that work on the current loop
  bool closing_ = false;
  std::exception_ptr failure_;
};

}  // namespace clip_es
