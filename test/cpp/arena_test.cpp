// The arena: alignment, reuse, growth, and what happens when memory runs out.
#include "core/arena.h"

#include <algorithm>
#include <cstring>

#include "check.h"
#include "core/error.h"
#include "core/memory.h"

namespace clip_es::arena_test {

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

TEST("the end of a scope releases its memory and keeps the memory of the outer scope") {
  Arena arena;
  Arena::Scope outer(arena);
  const auto kept = arena.take<int>(100);
  for (int i = 0; i < 100; ++i) kept[i] = i;
  const int* first = nullptr;
  for (int round = 0; round < 3; ++round) {
    Arena::Scope inner(arena);
    const auto taken = arena.take<int>(5000);
    if (round == 0) first = taken.data();
    CHECK(taken.data() == first);
    std::fill(taken.begin(), taken.end(), -1);
    const auto large = arena.take<int>(1 << 20);  // needs a second chunk
    std::fill(large.begin(), large.end(), -2);
  }
  for (int i = 0; i < 100; ++i) CHECK(kept[i] == i);
}

TEST("an arena allocates nothing for an image of a size that it has seen") {
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

TEST("impossible sizes are refused as ERR_OUT_OF_MEMORY, and the arena remains usable") {
  Arena arena;
  CHECK_ERROR(arena.take<double>(size_t{1} << 61), ErrorCode::kOutOfMemory, "GB of memory");
  CHECK_ERROR(arena.take<double>(~size_t{0}), ErrorCode::kOutOfMemory, "GB of memory");
  CHECK_ERROR(arena.take<uint8_t>(size_t{1} << 50), ErrorCode::kOutOfMemory, "1125899.9 GB");
  CHECK_ERROR(allocate_aligned(size_t{1} << 50), ErrorCode::kOutOfMemory, "1125899.9 GB");
  Arena::Scope scope(arena);
  const auto taken = arena.take<float>(1000);
  std::fill(taken.begin(), taken.end(), 1.0f);
  CHECK(arena.capacity() < 4 << 20);
}

TEST("after a refusal, memory that was taken before stays valid") {
  Arena arena;
  Arena::Scope scope(arena);
  const auto kept = arena.take<int>(1000);
  std::fill(kept.begin(), kept.end(), 7);
  CHECK_ERROR(arena.take<uint8_t>(size_t{1} << 50), ErrorCode::kOutOfMemory, "smaller");
  const auto further = arena.take<int>(100000);
  std::fill(further.begin(), further.end(), 0);
  for (const int value : kept) CHECK(value == 7);
}

namespace {

constexpr size_t kMegabyte = size_t{1} << 20;

// Host memory with a limit, which can be made to fail.
struct TestSource {
  size_t allocated = 0;
  bool exhausted = false;

  MemorySource source(size_t limit) {
    return {[this](size_t bytes) {
              if (exhausted) throw Error(ErrorCode::kOutOfMemory, "the source is exhausted");
              allocated += bytes;
              return std::shared_ptr<std::byte>(allocate_aligned(bytes).release(), FreeAligned{});
            },
            limit};
  }
};

}  // namespace

TEST("an arena uses its memory source up to the limit, and names the total that exceeds it") {
  TestSource memory;
  Arena arena(memory.source(4 * kMegabyte));
  Arena::Scope scope(arena);
  arena.take<std::byte>(3 * kMegabyte);
  CHECK_ERROR(arena.take<std::byte>(2 * kMegabyte), ErrorCode::kOutOfMemory, "cannot allocate 5.2 MB");
  arena.take<std::byte>(kMegabyte);
  CHECK(arena.capacity() == 4 * kMegabyte);
  CHECK(memory.allocated == 4 * kMegabyte);
  CHECK_ERROR(arena.take<std::byte>(1), ErrorCode::kOutOfMemory, "use a smaller maxSide");
}

TEST("after a refusal, an arena goes on with the memory behind what was taken last") {
  TestSource memory;
  Arena arena(memory.source(kMegabyte));
  Arena::Scope scope(arena);
  const auto first = arena.take<std::byte>(kMegabyte / 2);
  CHECK_ERROR(arena.take<std::byte>(kMegabyte), ErrorCode::kOutOfMemory, "cannot allocate 2.1 MB");
  CHECK(arena.take<std::byte>(kMegabyte / 2).data() == first.data() + first.size());
  CHECK(arena.allocations() == 1);
}

TEST("an arena that may have no memory at all refuses the first byte") {
  TestSource memory;
  Arena arena(memory.source(0));
  CHECK_ERROR(arena.take<std::byte>(1), ErrorCode::kOutOfMemory, "cannot allocate");
  CHECK(arena.capacity() == 0);
}

TEST("an arena grows by its capacity, from 1 MB on and by at most 64 MB more than is needed") {
  TestSource memory;
  Arena arena(memory.source(1024 * kMegabyte));
  Arena::Scope scope(arena);
  arena.take<std::byte>(1);
  CHECK(arena.capacity() == kMegabyte);
  arena.take<std::byte>(3 * kMegabyte);
  CHECK(arena.capacity() == 4 * kMegabyte);
  arena.take<std::byte>(1);
  CHECK(arena.capacity() == 8 * kMegabyte);
  arena.take<std::byte>(192 * kMegabyte);
  CHECK(arena.capacity() == 200 * kMegabyte);
  arena.take<std::byte>(1);
  CHECK(arena.capacity() == 264 * kMegabyte);
}

TEST("when its outermost scope ends, an arena joins its chunks into one of the same size") {
  TestSource memory;
  Arena arena(memory.source(64 * kMegabyte));
  {
    Arena::Scope scope(arena);
    arena.take<std::byte>(kMegabyte);
    {
      Arena::Scope inner(arena);
      arena.take<std::byte>(2 * kMegabyte);
    }
    CHECK(arena.allocations() == 2);
  }
  CHECK(arena.allocations() == 3);
  CHECK(arena.capacity() == 3 * kMegabyte);
  Arena::Scope scope(arena);
  arena.take<std::byte>(3 * kMegabyte);
  CHECK(arena.allocations() == 3);
}

TEST("a scope that ends while memory is exhausted does not throw, and the next take() reports it") {
  TestSource memory;
  Arena arena(memory.source(64 * kMegabyte));
  {
    Arena::Scope scope(arena);
    arena.take<std::byte>(kMegabyte);
    arena.take<std::byte>(2 * kMegabyte);
    memory.exhausted = true;
    CHECK_ERROR(arena.take<std::byte>(4 * kMegabyte), ErrorCode::kOutOfMemory, "the source is exhausted");
  }
  CHECK(arena.capacity() == 0);
  CHECK_ERROR(arena.take<std::byte>(1), ErrorCode::kOutOfMemory, "the source is exhausted");
  memory.exhausted = false;
  CHECK(arena.take<std::byte>(1).size() == 1);
  CHECK(arena.capacity() == kMegabyte);
}

namespace {

// One job that needs this much memory. The memory is never written, so it costs nothing.
void job(Arena& arena, size_t megabytes) {
  {
    Arena::Scope scope(arena);
    arena.take<std::byte>(megabytes * kMegabyte);
  }
  arena.trim();
}

}  // namespace

TEST("an arena gives back what one huge job needed, and keeps twice the median or 256 MB") {
  TestSource memory;
  Arena arena(memory.source(8192 * kMegabyte));
  for (int i = 0; i < 3; ++i) job(arena, 20);
  CHECK(arena.capacity() == 20 * kMegabyte);
  job(arena, 2000);
  CHECK(arena.capacity() == 256 * kMegabyte);
  const uint64_t settled = arena.allocations();
  for (int i = 0; i < 20; ++i) job(arena, 20 + 10 * i);
  CHECK(arena.capacity() == 256 * kMegabyte);
  CHECK(arena.allocations() == settled);
  for (int i = 0; i < 16; ++i) job(arena, 200);
  job(arena, 2000);
  CHECK(arena.capacity() == 400 * kMegabyte);
}

TEST("an arena keeps all memory while huge jobs are usual, from the first one on") {
  TestSource memory;
  Arena arena(memory.source(8192 * kMegabyte));
  job(arena, 2000);
  const uint64_t settled = arena.allocations();
  for (int i = 0; i < 40; ++i) job(arena, i % 2 ? 2000 : 1100);
  CHECK(arena.allocations() == settled);
  CHECK(arena.capacity() == 2000 * kMegabyte);
}

TEST("trim() leaves memory alone that is in use, and does not count a job that took none") {
  TestSource memory;
  Arena arena(memory.source(8192 * kMegabyte));
  for (int i = 0; i < 3; ++i) job(arena, 20);
  for (int i = 0; i < 40; ++i) arena.trim();
  {
    Arena::Scope scope(arena);
    const auto taken = arena.take<std::byte>(500 * kMegabyte);
    arena.trim();
    std::fill(taken.end() - 100, taken.end(), std::byte{7});
    CHECK(arena.capacity() >= 500 * kMegabyte);
  }
  arena.trim();
  CHECK(arena.capacity() == 256 * kMegabyte);
}

TEST("a buffer is released after one huge job, and kept while its size is usual") {
  TestSource memory;
  const MemorySource source = memory.source(8192 * kMegabyte);
  DeviceBuffer buffer;
  const auto job = [&](size_t megabytes) {
    buffer.reserve(source, megabytes * kMegabyte / sizeof(float));
    buffer.trim();
  };
  for (int i = 0; i < 3; ++i) job(20);
  CHECK(buffer.bytes() == 20 * kMegabyte);
  job(2000);
  CHECK(buffer.bytes() == 0);
  job(30);
  CHECK(buffer.bytes() == 30 * kMegabyte);
  for (int i = 0; i < 16; ++i) job(2000);
  const size_t allocated = memory.allocated;
  for (int i = 0; i < 7; ++i) job(20);
  job(2000);
  CHECK(memory.allocated == allocated);
}

TEST("every error code has the name that users see") {
  const std::pair<ErrorCode, const char*> names[] = {
      {ErrorCode::kInvalidArg, "ERR_INVALID_ARG"},
      {ErrorCode::kModelRead, "ERR_MODEL_READ"},
      {ErrorCode::kModelFormat, "ERR_MODEL_FORMAT"},
      {ErrorCode::kLibTorch, "ERR_LIBTORCH"},
      {ErrorCode::kDeviceUnavailable, "ERR_DEVICE_UNAVAILABLE"},
      {ErrorCode::kOutOfMemory, "ERR_OUT_OF_MEMORY"},
      {ErrorCode::kIo, "ERR_IO"},
      {ErrorCode::kDiverged, "ERR_DIVERGED"},
      {ErrorCode::kInternal, "ERR_INTERNAL"},
  };
  for (const auto& [code, name] : names) CHECK(std::string(name_of(code)) == name);
}

TEST("more memory than the machine or the control group has is refused at once") {
  const size_t limit = host_memory().limit;
  CHECK(limit > 0);
  CHECK_ERROR(allocate_aligned(limit + 1), ErrorCode::kOutOfMemory, "cannot allocate");
  // This process uses some of it already.
  CHECK_ERROR(allocate_aligned(limit - kMegabyte), ErrorCode::kOutOfMemory, "cannot allocate");
}

}  // namespace clip_es::arena_test
