// What every stage is given to work with: threads, scratch memory, and whether to stop.
#pragma once
#include <atomic>

#include "core/arena.h"
#include "core/error.h"
#include "core/thread_pool.h"

namespace clip_es {

struct HostContext {
  ThreadPool& pool;
  Arena& arena;
  const std::atomic<bool>* cancelled = nullptr;

  void checkpoint() const {
    if (cancelled && cancelled->load(std::memory_order_relaxed)) throw Cancelled{};
  }
};

}  // namespace clip_es
