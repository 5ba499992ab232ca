// Counts the calls of operator new that this program's code makes, which is the engine and the tests. Calls from LibTorch and the C++
// library are not counted. Nothing is counted with AddressSanitizer, which replaces operator new itself, and on systems without ELF, where
// a program does not know the limits of its code.
#pragma once
#include <cstdint>

class HeapWatch {
 public:
#if defined(__SANITIZE_ADDRESS__) || !defined(__ELF__)
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
