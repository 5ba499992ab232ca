// Denormal numbers (below 1e-38) slow a CPU down a hundredfold, and attention produces many of them. The engine treats them as zero.
#pragma once
#include <cstdint>

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

namespace clip_es {

// While an object of this class exists, its thread treats denormal numbers as zero. Does nothing on CPUs other than x86 and arm64.
class FlushDenormals {
 public:
  FlushDenormals() : before_(read()) { write(before_ | kFlush); }
  ~FlushDenormals() { write(before_); }
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;

 private:
#if defined(__SSE2__)
  using Register = unsigned;
  static constexpr Register kFlushToZero = 0x8000, kDenormalsAreZero = 0x0040, kFlush = kFlushToZero | kDenormalsAreZero;
  static Register read() { return _mm_getcsr(); }
  static void write(Register value) { _mm_setcsr(value); }
#elif defined(__aarch64__)
  using Register = uint64_t;
  static constexpr Register kFlush = 1 << 24;  // FPCR.FZ, for operands and results
  static Register read() {
    Register value;
    asm volatile("mrs %0, fpcr" : "=r"(value));
    return value;
  }
  static void write(Register value) { asm volatile("msr fpcr, %0" : : "r"(value) : "memory"); }
#else
  using Register = int;
  static constexpr Register kFlush = 0;
  static Register read() { return 0; }
  static void write(Register) {}
#endif
  Register before_;
};

}  // namespace clip_es
