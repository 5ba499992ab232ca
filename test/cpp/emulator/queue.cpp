#include "queue.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <utility>

namespace emulator {
namespace {

// Never destroyed, because tests free memory and streams while the program ends.
std::set<Queue*>& queues() {
  static auto& all = *new std::set<Queue*>;
  return all;
}

}  // namespace

Operations counts{};
Order launch_order = Order::kInTurn;

std::recursive_mutex& running() {
  static auto& mutex = *new std::recursive_mutex;
  return mutex;
}

Operations operations() {
  const std::lock_guard lock(running());
  return counts;
}

Queue::Queue() {
  const std::lock_guard lock(running());
  queues().insert(this);
}

Queue::~Queue() {
  const std::lock_guard lock(running());
  queues().erase(this);
}

uint64_t Queue::add(std::function<void()> work, const std::byte* pinned) {
  const std::lock_guard lock(running());
  waiting_.push_back({std::move(work), pinned});
  return ++added_;
}

void Queue::add_behind(const std::function<void()>& work) {
  const std::lock_guard lock(running());
  if (!waiting_.empty()) add(work);
}

// The lock is released after each piece of work, so that other threads can add work to their streams.
void Queue::run_until(uint64_t number) {
  for (;;) {
    const std::lock_guard lock(running());
    if (done_ >= number || waiting_.empty()) return;
    const Work work = std::move(waiting_.front());
    waiting_.pop_front();
    work.run();
    ++done_;
  }
}

bool Queue::copies(const std::byte* first, const std::byte* end) {
  const std::lock_guard lock(running());
  return std::any_of(waiting_.begin(), waiting_.end(), [&](const Work& work) { return work.pinned >= first && work.pinned < end; });
}

Order Queue::next_order() {
  const std::lock_guard lock(running());
  return launch_order == Order::kInTurn ? static_cast<Order>(kernels_++ % 3) : launch_order;
}

const std::shared_ptr<Queue>& queue_of(cudaStream_t stream) {
  static const auto& default_queue = *new std::shared_ptr<Queue>(std::make_shared<Queue>());
  return stream ? stream->queue : default_queue;
}

void for_each_queue(const std::function<void(Queue&)>& use) {
  const std::lock_guard lock(running());
  for (Queue* queue : queues()) use(*queue);
}

void fail(const char* format, ...) {
  std::fputs("CUDA emulator: ", stderr);
  va_list arguments;
  va_start(arguments, format);
  std::vfprintf(stderr, format, arguments);
  va_end(arguments);
  std::fputc('\n', stderr);
  std::abort();
}

}  // namespace emulator
