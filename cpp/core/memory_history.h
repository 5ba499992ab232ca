// How much memory the last jobs needed, and therefore how much is worth keeping for the next ones.
#pragma once
#include <algorithm>
#include <array>
#include <cstddef>

namespace clip_es {

class MemoryHistory {
 public:
  void add(size_t bytes) { needs_[jobs_++ % kJobs] = bytes; }

  // The larger of 256 MB and twice the median of the last 16 jobs: enough for jobs that vary, but not for one huge photo among small ones.
  size_t worth_keeping() const {
    std::array<size_t, kJobs> sorted = needs_;
    const auto last = sorted.begin() + std::min(jobs_, kJobs);
    std::sort(sorted.begin(), last);
    return std::max(kAlwaysKept, 2 * sorted[std::min(jobs_, kJobs) / 2]);
  }

 private:
  static constexpr size_t kJobs = 16, kAlwaysKept = size_t{256} << 20;

  std::array<size_t, kJobs> needs_{};
  size_t jobs_ = 0;  // since the start
};

}  // namespace clip_es
