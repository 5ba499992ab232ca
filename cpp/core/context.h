// The host resources of one job: threads, scratch memory and the cancellation flag. Every stage gets one.
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

  // Throws Cancelled after the caller has cancelled the job.
  void checkpoint() const {
    if (cancelled && cancelled->load(std::memory_order_relaxed)) throw Cancelled{};
  }
};

}  // namespace clip_es
