// Counts what the engine and the tests, which are linked into this program, ask of operator new. What LibTorch and the C++ library ask for
// themselves is not counted.
#pragma once
#include <cstdint>

class HeapWatch {
 public:
  HeapWatch();
  ~HeapWatch();
  HeapWatch(const HeapWatch&) = delete;
  HeapWatch& operator=(const HeapWatch&) = delete;
  uint64_t count() const;  // requests since its construction, of all threads
};
