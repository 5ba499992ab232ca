// Denormal numbers (below 1e-38) slow a CPU down a hundredfold, and attention produces many of them. The engine treats them as zero.
#pragma once

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

namespace clip_es {

// While an object of this class exists, its thread treats denormal numbers as zero. Does nothing on CPUs other than x86.
class FlushDenormals {
 public:
#if defined(__SSE2__)
  FlushDenormals() : before_(_mm_getcsr()) { _mm_setcsr(before_ | kFlushToZero | kDenormalsAreZero); }
  ~FlushDenormals() { _mm_setcsr(before_); }

 private:
  static constexpr unsigned kFlushToZero = 0x8000, kDenormalsAreZero = 0x0040;
  unsigned before_;
#else
  FlushDenormals() {}
#endif

 public:
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;
};

}  // namespace clip_es
