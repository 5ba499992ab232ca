#include "core/cpu_features.h"

#if defined(__x86_64__)
#include <cpuid.h>

#include <algorithm>
#include <initializer_list>
#endif

#include "core/platform/arm64_features.h"

namespace clip_es {

#if defined(__x86_64__)

namespace {

// The registers that the instruction cpuid returns, or zeros if the CPU does not have the leaf.
struct CpuId {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  CpuId(unsigned leaf, unsigned subleaf) { __get_cpuid_count(leaf, subleaf, &eax, &ebx, &ecx, &edx); }
};

constexpr bool has_bits(unsigned value, std::initializer_list<int> bits) {
  return std::ranges::all_of(bits, [&](int bit) { return value >> bit & 1; });
}

// The sets of registers that the operating system saves when it switches threads.
unsigned saved_registers() {
  unsigned low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

}  // namespace

// The bits are from Intel's manual, volume 2, "CPUID". __builtin_cpu_supports() would do the same, but not every compiler for Windows has
// it.
CpuFeatures cpu_features() {
  CpuFeatures cpu;
  const CpuId basic(1, 0), extended(7, 0), more(7, 1);
  const bool system_knows_avx = has_bits(basic.ecx, {27, 28});  // OSXSAVE, AVX
  const unsigned saved = system_knows_avx ? saved_registers() : 0;
  cpu.avx2 = has_bits(saved, {1, 2}) && has_bits(basic.ecx, {12}) && has_bits(extended.ebx, {3, 5, 8});  // FMA; BMI1, AVX2, BMI2
  cpu.avx512 = cpu.avx2 && has_bits(saved, {5, 6, 7}) && has_bits(extended.ebx, {16, 17, 28, 30, 31});   // F, DQ, CD, BW, VL
  cpu.avx512_vnni = cpu.avx512 && has_bits(extended.ecx, {11});
  cpu.avx512_bf16 = cpu.avx512 && extended.eax >= 1 && has_bits(more.eax, {5});
  return cpu;
}

#elif defined(__aarch64__)

CpuFeatures cpu_features() {
  const platform::Arm64Features system = platform::arm64_features();
  CpuFeatures cpu;
  cpu.dotprod = system.dotprod;
  cpu.bf16_i8mm = system.dotprod && system.bf16 && system.i8mm;
  return cpu;
}

#else

CpuFeatures cpu_features() { return {}; }

#endif

}  // namespace clip_es
