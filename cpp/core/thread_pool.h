// A fixed set of threads that share loops over blocks of rows. The calling thread works too, so a pool of 1 starts none.
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

// A function that outlives the call it is passed to, by reference. std::function would copy what a lambda captures to the heap, for every
// loop of every image.
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

class ThreadPool {
 public:
  // `on_start` runs once on each thread the pool starts, before any work. Throws Error kOutOfMemory when the system starts no more.
  explicit ThreadPool(int threads, std::function<void()> on_start = {});
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  // How many threads work, the calling one included: all of them, unless told otherwise between loops.
  int size() const { return size_; }
  void use(int threads);

  // Calls body(index, worker) for every index in [0, count), in any order; worker in [0, size()) names the thread, so that
  // bodies can own scratch memory. Returns when all are done; the first exception thrown by a body is rethrown here.
  void run(int64_t count, FunctionRef<void(int64_t index, int worker)> body);

  // Cuts [0, rows) into blocks, about one per thread but none smaller than `smallest`, and calls body(begin, end) for each.
  // Blocks begin at multiples of `step`.
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
  int open_ = 0;  // places for further threads in the loop that runs
  int busy_ = 0;  // threads that have taken one
  bool closing_ = false;
  std::exception_ptr failure_;
};

}  // namespace clip_es
