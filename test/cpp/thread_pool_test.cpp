// The thread pool: every index runs once, under a worker number that no other thread uses, and errors reach the caller.
#include "core/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <iterator>
#include <stdexcept>
#include <thread>

#include "check.h"
#include "core/error.h"

namespace clip_es::thread_pool_test {

using namespace std::chrono_literals;

TEST("a pool of 1 to 4 threads calls every index exactly once") {
  for (int threads = 1; threads <= 4; ++threads) {
    ThreadPool pool(threads);
    CHECK(pool.size() == threads);
    for (const int64_t count : {0, 1, 2, 3, 7, 100, 10000}) {
      std::vector<std::atomic<int>> calls(static_cast<size_t>(count));
      pool.run(count, [&](int64_t index, int worker) {
        if (worker < 0 || worker >= threads) throw std::logic_error("no such worker");
        ++calls[index];
      });
      for (const auto& c : calls) CHECK(c == 1);
    }
  }
}

TEST("two bodies never run at the same time under one worker number") {
  ThreadPool pool(4);
  std::vector<std::atomic<int>> inside(4);
  std::atomic<bool> shared{false};
  pool.run(2000, [&](int64_t, int worker) {
    if (++inside[worker] != 1) shared = true;
    --inside[worker];
  });
  CHECK(!shared);
}

TEST("a pool starts its threads once, and on_start runs on each of them before any work") {
  std::atomic<int> starts{0};
  static thread_local bool prepared = false;
  ThreadPool pool(4, [&] {
    prepared = true;
    ++starts;
  });
  std::atomic<bool> unprepared{false};
  for (int round = 0; round < 50; ++round)
    pool.run(64, [&](int64_t, int worker) {
      if (worker != 0 && !prepared) unprepared = true;
    });
  CHECK(!unprepared);
  CHECK(starts <= 3);
}

TEST("run() rethrows an exception of a body, and the pool can run the next loop") {
  for (int threads = 1; threads <= 4; ++threads) {
    ThreadPool pool(threads);
    for (int round = 0; round < 20; ++round) {
      std::string caught;
      try {
        pool.run(100, [](int64_t index, int) {
          if (index == 37) throw std::runtime_error("index 37");
        });
      } catch (const std::runtime_error& e) {
        caught = e.what();
      }
      CHECK(caught == "index 37");
      std::atomic<int64_t> sum{0};
      pool.run(100, [&](int64_t index, int) { sum += index; });
      CHECK(sum == 4950);
    }
  }
}

TEST("no body is still running after run() has thrown") {
  ThreadPool pool(4);
  std::atomic<int> running{0};
  try {
    pool.run(64, [&](int64_t index, int) {
      ++running;
      if (index == 0) {
        --running;
        throw std::runtime_error("first");
      }
      std::this_thread::sleep_for(std::chrono::microseconds(200));
      --running;
    });
    CHECK(false);
  } catch (const std::runtime_error&) {
  }
  CHECK(running == 0);
}

TEST("split() covers every row once, in blocks of about the smallest size or more") {
  for (int threads = 1; threads <= 4; ++threads) {
    ThreadPool pool(threads);
    for (const int64_t rows : {0, 1, 15, 16, 17, 31, 33, 64, 1000})
      for (const int64_t smallest : {1, 16, 100}) {
        std::vector<std::atomic<int>> calls(static_cast<size_t>(rows));
        std::atomic<int64_t> shortest{rows}, blocks{0};
        pool.split(rows, smallest, [&](int64_t begin, int64_t end) {
          ++blocks;
          int64_t least = shortest;
          while (end - begin < least && !shortest.compare_exchange_weak(least, end - begin)) {
          }
          for (int64_t row = begin; row < end; ++row) ++calls[row];
        });
        for (const auto& c : calls) CHECK(c == 1);
        // split() divides evenly: a block may be smaller than `smallest` by a remainder, but never by half.
        CHECK(2 * shortest >= std::min(rows, smallest));
        CHECK(blocks == std::min<int64_t>((rows + smallest - 1) / smallest, threads));
      }
  }
}

TEST("a body of one pool may use another pool") {
  for (int outer_size = 1; outer_size <= 4; ++outer_size)
    for (int inner_size = 1; inner_size <= 4; ++inner_size) {
      ThreadPool outer(outer_size);
      std::atomic<int64_t> sum{0};
      outer.run(8, [&](int64_t i, int) {
        ThreadPool inner(inner_size);
        inner.run(50, [&](int64_t j, int) { sum += 50 * i + j; });
      });
      CHECK(sum == 399 * 400 / 2);
    }
}

TEST("split() begins every block at a multiple of the step, and gives an empty range no block") {
  ThreadPool pool(4);
  for (const int64_t rows : {1, 7, 8, 9, 63, 100}) {
    std::atomic<int64_t> covered{0};
    std::atomic<bool> misplaced{false}, empty{false};
    pool.split(
        rows, 1,
        [&](int64_t begin, int64_t end) {
          if (begin % 8 != 0) misplaced = true;
          if (begin >= end) empty = true;
          covered += end - begin;
        },
        8);
    CHECK(covered == rows);
    CHECK(!misplaced);
    CHECK(!empty);
  }
}

TEST("set_threads() limits the worker numbers, to at least 1 and at most all threads") {
  ThreadPool pool(4);
  const std::pair<int, int> cases[] = {{2, 2}, {1, 1}, {0, 1}, {-3, 1}, {9, 4}, {4, 4}, {3, 3}};
  for (const auto& [wanted, expected] : cases) {
    pool.set_threads(wanted);
    CHECK(pool.size() == expected);
    std::atomic<int> largest{0}, calls{0};
    pool.run(200, [&](int64_t, int worker) {
      int before = largest;
      while (worker > before && !largest.compare_exchange_weak(before, worker)) {
      }
      ++calls;
    });
    CHECK(largest < expected);
    CHECK(calls == 200);
  }
}

// Most threads of a large pool wake only after the calling thread has finished a short loop. Large and small loops alternate, so a thread
// that keeps its number from a large loop is noticed in the small one. Without ThreadSanitizer this test rarely notices a wrong pool.
// ThreadSanitizer reports the race in most runs.
TEST("a thread that wakes too late for a loop does not join the next one under an old worker number") {
  constexpr int kThreads = 16;
  ThreadPool pool(kThreads);
  std::atomic<int> wrong{0};
  for (int round = 0; round < 10000; ++round) {
    pool.set_threads(kThreads);
    pool.run(kThreads, [](int64_t, int) {});
    const auto start = std::chrono::steady_clock::now() + round % 100 * 1us;  // some threads wake meanwhile
    while (std::chrono::steady_clock::now() < start) {
    }
    pool.set_threads(2);
    std::atomic<std::thread::id> owners[2] = {};
    pool.run(64, [&](int64_t, int worker) {
      std::thread::id owner{};
      const std::thread::id self = std::this_thread::get_id();
      if (worker >= 2 || (!owners[worker].compare_exchange_strong(owner, self) && owner != self)) ++wrong;
    });
  }
  CHECK(wrong == 0);
}

TEST("run() rethrows the first of two exceptions") {
  ThreadPool pool(2);
  for (int round = 0; round < 3; ++round) {
    std::atomic<bool> both{false};
    std::atomic<bool> throwing{false};
    std::string caught;
    try {
      pool.run(2, [&](int64_t index, int) {
        if (index == 1) both = true;
        while (!both) std::this_thread::yield();
        if (index == 0) {
          throwing = true;
          throw std::runtime_error("first");
        }
        while (!throwing) std::this_thread::yield();
        std::this_thread::sleep_for(100ms);  // nothing shows when the pool has stored the first exception
        throw std::runtime_error("second");
      });
    } catch (const std::runtime_error& e) {
      caught = e.what();
    }
    CHECK(caught == "first");
  }
}

TEST("after an exception, no thread starts a further index") {
  for (int threads = 1; threads <= 4; ++threads) {
    ThreadPool pool(threads);
    constexpr int64_t kCount = 20'000;
    std::atomic<int64_t> calls{0};
    try {
      pool.run(kCount, [&](int64_t index, int) {
        ++calls;
        if (index == 0) throw std::runtime_error("index 0");
        std::this_thread::sleep_for(100us);
      });
      CHECK(false);
    } catch (const std::runtime_error&) {
    }
    CHECK(calls < kCount);
  }
}

}  // namespace clip_es::thread_pool_test
