// Counts what the engine and the tests, which are linked into this program, ask of operator new. What LibTorch and the C++ library ask for
// themselves is not counted. AddressSanitizer has an operator new of its own, which finds mistakes: under it nothing is counted.
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
  uint64_t count() const;  // requests since its construction, of all threads
};
