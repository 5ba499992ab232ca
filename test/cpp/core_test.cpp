// The thread pool and the arena.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <stdexcept>
#include <thread>

#include "check.h"
#include "core/arena.h"
#include "core/error.h"
#include "core/thread_pool.h"

using clip_es::Arena;
using clip_es::ErrorCode;
using clip_es::ThreadPool;

TEST("a pool of 1 to 4 threads calls every index exactly once") {
  for (int threads = 1; threads <= 4; ++threads) {
    ThreadPool pool(threads);
    CHECK(pool.size() == threads);
    for (const int64_t count : {0, 1, 2, 3, 7, 100, 10000}) {
      std::vector<std::atomic<int>> calls(static_cast<size_t>(count));
      pool.run(count, [&](int64_t index, int worker) {
        if (worker < 0 || worker >= threads) throw std::logic_error("no such worker");
        ++calls[static_cast<size_t>(index)];
      });
      for (const auto& c : calls) CHECK(c == 1);
    }
  }
}

TEST("two bodies never run at the same time under one worker's number") {
  ThreadPool pool(4);
  std::vector<std::atomic<int>> inside(4);
  std::atomic<bool> shared{false};
  pool.run(2000, [&](int64_t, int worker) {
    if (++inside[static_cast<size_t>(worker)] != 1) shared = true;
    --inside[static_cast<size_t>(worker)];
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

TEST("an exception of a body is thrown by run(), and the pool works on") {
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

TEST("no body runs any more once run() has thrown") {
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
  } catch (const std::runtime_error&) {
  }
  CHECK(running == 0);
}

TEST("split() covers every row once, in blocks no smaller than asked for") {
  for (int threads = 1; threads <= 4; ++threads) {
    ThreadPool pool(threads);
    for (const int64_t rows : {0, 1, 15, 16, 17, 31, 33, 64, 1000})
      for (const int64_t smallest : {1, 16, 100}) {
        std::vector<std::atomic<int>> calls(static_cast<size_t>(rows));
        std::atomic<int64_t> shortest{rows};
        pool.split(rows, smallest, [&](int64_t begin, int64_t end) {
          int64_t least = shortest;
          while (end - begin < least && !shortest.compare_exchange_weak(least, end - begin)) {
          }
          for (int64_t row = begin; row < end; ++row) ++calls[static_cast<size_t>(row)];
        });
        for (const auto& c : calls) CHECK(c == 1);
        // Rows are cut evenly: a block may be short of `smallest` by what does not divide, never down to half of it.
        CHECK(2 * shortest >= std::min(rows, smallest));
      }
  }
}

TEST("pools of 1 to 4 threads may work inside the bodies of a pool of 1 to 4 threads") {
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

TEST("memory of an arena is aligned to 64 bytes and no two pieces overlap") {
  Arena arena;
  Arena::Scope scope(arena);
  std::vector<std::span<uint8_t>> pieces;
  for (const size_t size : {1, 63, 64, 65, 1000, 3 << 20, 0, 7}) pieces.push_back(arena.take<uint8_t>(size));
  for (size_t i = 0; i < pieces.size(); ++i) std::memset(pieces[i].data(), static_cast<int>(i), pieces[i].size());
  for (size_t i = 0; i < pieces.size(); ++i) {
    CHECK(reinterpret_cast<uintptr_t>(pieces[i].data()) % 64 == 0);
    for (const uint8_t byte : pieces[i]) CHECK(byte == i);
  }
}

TEST("the end of a scope gives its memory back and leaves the outer scope's alone") {
  Arena arena;
  Arena::Scope outer(arena);
  const auto kept = arena.take<int>(100);
  for (int i = 0; i < 100; ++i) kept[static_cast<size_t>(i)] = i;
  const int* first = nullptr;
  for (int round = 0; round < 3; ++round) {
    Arena::Scope inner(arena);
    const auto taken = arena.take<int>(5000);
    if (round == 0) first = taken.data();
    CHECK(taken.data() == first);
    std::fill(taken.begin(), taken.end(), -1);
    const auto large = arena.take<int>(1 << 20);  // a further chunk
    std::fill(large.begin(), large.end(), -2);
  }
  for (int i = 0; i < 100; ++i) CHECK(kept[static_cast<size_t>(i)] == i);
}

TEST("an arena asks the system for nothing once it has seen a size") {
  Arena arena;
  auto image = [&](size_t size) {
    Arena::Scope scope(arena);
    arena.take<float>(size);
    for (int layer = 0; layer < 12; ++layer) {
      Arena::Scope block(arena);
      arena.take<float>(3 * size);
      arena.take<float>(4 * size);
    }
  };
  image(300000);
  const uint64_t settled = arena.allocations();
  for (int round = 0; round < 10; ++round) {
    image(300000);
    image(20000);
  }
  CHECK(arena.allocations() == settled);
  CHECK(arena.capacity() < 4 * 8 * 300000 * sizeof(float));
}

TEST("absurd sizes are refused as ERR_OUT_OF_MEMORY, and the arena works on") {
  Arena arena;
  CHECK_ERROR(arena.take<double>(size_t{1} << 61), ErrorCode::kOutOfMemory, "GB of memory");
  CHECK_ERROR(arena.take<double>(~size_t{0}), ErrorCode::kOutOfMemory, "GB of memory");
  CHECK_ERROR(arena.take<uint8_t>(size_t{1} << 50), ErrorCode::kOutOfMemory, "1125899.9 GB");
  CHECK_ERROR(clip_es::allocate_aligned(size_t{1} << 50), ErrorCode::kOutOfMemory, "1125899.9 GB");
  Arena::Scope scope(arena);
  const auto taken = arena.take<float>(1000);
  std::fill(taken.begin(), taken.end(), 1.0f);
  CHECK(arena.capacity() < 4 << 20);
}

TEST("an arena that cannot grow further keeps what it has given") {
  Arena arena;
  Arena::Scope scope(arena);
  const auto kept = arena.take<int>(1000);
  std::fill(kept.begin(), kept.end(), 7);
  CHECK_ERROR(arena.take<uint8_t>(size_t{1} << 50), ErrorCode::kOutOfMemory, "smaller");
  const auto further = arena.take<int>(100000);
  std::fill(further.begin(), further.end(), 0);
  for (const int value : kept) CHECK(value == 7);
}
