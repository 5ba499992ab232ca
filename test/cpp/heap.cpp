#include "heap.h"

#include <atomic>
#include <cstdlib>
#include <new>

namespace {

std::atomic<int> watches{0};
std::atomic<uint64_t> requests{0};

}  // namespace

HeapWatch::HeapWatch() {
  requests = 0;
  ++watches;
}
HeapWatch::~HeapWatch() { --watches; }
uint64_t HeapWatch::count() const { return requests; }

#if !defined(__SANITIZE_ADDRESS__) && defined(__ELF__)
extern "C" const char __executable_start, etext;  // from the linker: the limits of this program's code

namespace {

void* allocate(size_t bytes, size_t alignment, const void* caller) {
  const auto at = static_cast<const char*>(caller);
  if (watches.load(std::memory_order_relaxed) && at >= &__executable_start && at < &etext) ++requests;
  if (bytes == 0) bytes = 1;
  return alignment <= __STDCPP_DEFAULT_NEW_ALIGNMENT__ ? std::malloc(bytes)
                                                       : std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
}

void* or_throw(void* p) {
  if (!p) throw std::bad_alloc();
  return p;
}

}  // namespace

// The other forms of new and delete call these.
void* operator new(size_t bytes) { return or_throw(allocate(bytes, 1, __builtin_return_address(0))); }
void* operator new[](size_t bytes) { return or_throw(allocate(bytes, 1, __builtin_return_address(0))); }
void* operator new(size_t bytes, std::align_val_t alignment) {
  return or_throw(allocate(bytes, static_cast<size_t>(alignment), __builtin_return_address(0)));
}
void* operator new[](size_t bytes, std::align_val_t alignment) {
  return or_throw(allocate(bytes, static_cast<size_t>(alignment), __builtin_return_address(0)));
}
void* operator new[](size_t bytes, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return allocate(bytes, static_cast<size_t>(alignment), __builtin_return_address(0));
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete[](void* p) noexcept { std::free(p); }
void operator delete(void* p, size_t) noexcept { std::free(p); }
void operator delete[](void* p, size_t) noexcept { std::free(p); }
void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete[](void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete(void* p, size_t, std::align_val_t) noexcept { std::free(p); }
void operator delete[](void* p, size_t, std::align_val_t) noexcept { std::free(p); }
#endif
