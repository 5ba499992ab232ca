#include "memory.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <new>

#include "queue.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, bytes)
#define ASAN_UNPOISON_MEMORY_REGION(address, bytes)
#endif

namespace emulator {
namespace {

constexpr size_t kZone = 256;  // bytes of a red zone, and the alignment
constexpr std::byte kPattern{0xa5};

class Allocation {
 public:
  Allocation(size_t bytes, Memory kind) : kind_(kind), bytes_(bytes) {
    start_ = static_cast<std::byte*>(::operator new (bytes + 2 * kZone, std::align_val_t{kZone}));
    std::memset(start_, static_cast<int>(kPattern), bytes + 2 * kZone);
    std::memset(memory(), 0xff, bytes);
    ASAN_POISON_MEMORY_REGION(start_, kZone);
    ASAN_POISON_MEMORY_REGION(memory() + bytes, kZone);
  }
  ~Allocation() {
    check();
    ASAN_UNPOISON_MEMORY_REGION(start_, bytes_ + 2 * kZone);
    ::operator delete (start_, std::align_val_t{kZone});
  }
  Allocation(const Allocation&) = delete;
  Allocation& operator=(const Allocation&) = delete;

  std::byte* memory() const { return start_ + kZone; }
  std::byte* end() const { return memory() + bytes_; }
  Memory kind() const { return kind_; }

  // LibTorch is not compiled for AddressSanitizer, so the zones are checked in that build, too.
  __attribute__((no_sanitize("address"))) void check() const {
    for (size_t i = 0; i < kZone; ++i) {
      if (start_[kZone - 1 - i] != kPattern) fail("%zu bytes before an allocation of %zu bytes were written", i + 1, bytes_);
      if (end()[i] != kPattern) fail("byte %zu behind an allocation of %zu bytes was written", i, bytes_);
    }
  }

 private:
  Memory kind_;
  std::byte* start_;
  size_t bytes_;
};

// By address. Never destroyed, because tests free memory while the program ends.
std::map<const std::byte*, std::shared_ptr<Allocation>>& allocations() {
  static auto& all = *new std::map<const std::byte*, std::shared_ptr<Allocation>>;
  return all;
}

}  // namespace

std::byte* allocate(size_t bytes, Memory kind) {
  auto allocation = std::make_shared<Allocation>(bytes, kind);
  const std::lock_guard lock(running());
  return (allocations()[allocation->memory()] = allocation)->memory();
}

void release(std::byte* memory, Memory kind) {
  const std::lock_guard lock(running());
  const auto found = allocations().find(memory);
  if (found == allocations().end() || found->second->kind() != kind) fail("memory that is freed was not allocated, or in another way");
  const std::shared_ptr<Allocation> allocation = found->second;
  allocations().erase(found);
  for_each_queue([&](Queue& queue) {
    if (kind == Memory::kPinned && queue.copies(allocation->memory(), allocation->end()))
      fail("pinned memory was freed before its queued copy was done");
    queue.add_behind([allocation] {});
  });
}

bool is_pinned(const std::byte* first, size_t bytes) {
  const std::lock_guard lock(running());
  auto after = allocations().upper_bound(first);
  if (after == allocations().begin()) return false;
  const Allocation& allocation = *(--after)->second;
  return allocation.kind() == Memory::kPinned && first + bytes <= allocation.end();
}

void check_red_zones() {
  const std::lock_guard lock(running());
  for (const auto& [memory, allocation] : allocations()) allocation->check();
}

}  // namespace emulator
