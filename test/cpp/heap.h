// Counts the calls of operator new that this program's code makes, which is the engine and the tests. Calls from LibTorch and the C++
// library are not counted. With AddressSanitizer nothing is counted, because it replaces operator new itself.
#pragma once
#include <cstdint>

class HeapWatch {
 public:
#ifdef __SANITIZE_ADDRESS__
  static constexpr bool kCounts = false;
#else
  static constexpr bool kCounts = true;
#endif
  HeapWatch();
  ~HeapWatch();
  HeapWatch(const HeapWatch&) = delete;
  HeapWatch& operator=(const HeapWatch&) = delete;
  uint64_t count() const;  // calls in all threads since construction
};
