// Streams. A stream runs its work only when somebody waits for it, the latest moment that a GPU may choose. So a result that is used
// without waiting is NaN, and so is one that another stream uses without waiting.
#pragma once
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>

#include "control.h"
#include "cuda_runtime.h"

namespace emulator {

// All work of all streams runs under this lock, one piece after the other.
std::recursive_mutex& running();

class Queue {
 public:
  Queue();
  ~Queue();

  // Returns the number of this piece of work, counted from 1. pinned: the pinned memory that it copies from or to, or null.
  uint64_t add(std::function<void()> work, const std::byte* pinned = nullptr);
  void run_until(uint64_t number);
  void run() { run_until(UINT64_MAX); }
  // Adds the work if other work waits; else destroys it at once.
  void add_behind(const std::function<void()>& work);
  bool copies(const std::byte* first, const std::byte* end);  // whether waiting work copies from or to this pinned memory
  Order next_order();                                         // of the next kernel

 private:
  struct Work {
    std::function<void()> run;
    const std::byte* pinned;
  };
  std::deque<Work> waiting_;
  uint64_t added_ = 0, done_ = 0, kernels_ = 0;
};

// The queue of a stream. Null is CUDA's default stream, which nobody waits for: the engine's streams do not wait for it either.
const std::shared_ptr<Queue>& queue_of(cudaStream_t);
// Calls `use` for every queue.
void for_each_queue(const std::function<void(Queue&)>& use);

extern Operations counts;  // change it under the lock

// Prints the message and ends the program.
[[noreturn]] void fail(const char* format, ...) __attribute__((format(printf, 1, 2)));

}  // namespace emulator

struct EmulatedStream {
  std::shared_ptr<emulator::Queue> queue = std::make_shared<emulator::Queue>();
};
