#include "core/cpu_features.h"

#if defined(__aarch64__)
#if defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#elif defined(__APPLE__)
#include <sys/sysctl.h>
#elif defined(_WIN32)
#include <windows.h>
#endif
#endif

namespace clip_es {

#if defined(__x86_64__)

// The compiler's run-time library asks cpuid, and the operating system whether it saves the registers of AVX and AVX-512.
CpuFeatures cpu_features() {
  CpuFeatures cpu;
  __builtin_cpu_init();
  cpu.avx2 =
      __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
  cpu.avx512 = cpu.avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  cpu.avx512_vnni = cpu.avx512 && __builtin_cpu_supports("avx512vnni");
  cpu.avx512_bf16 = cpu.avx512 && __builtin_cpu_supports("avx512bf16");
  return cpu;
}

#elif defined(__aarch64__)

// A program cannot read the CPU's own registers for this, so the operating system is asked.
CpuFeatures cpu_features() {
  CpuFeatures cpu;
  bool bf16 = false, i8mm = false;
#if defined(__linux__)
  // CRC32, atomics and rounding multiplications are the instructions of Armv8.2 that programs may use and Armv8.0 lacks.
  constexpr unsigned long kDotProd = HWCAP_CRC32 | HWCAP_ATOMICS | HWCAP_ASIMDRDM | HWCAP_ASIMDDP;
  constexpr unsigned long kI8mm = 1ul << 13, kBf16 = 1ul << 14;  // HWCAP2_…, which older headers lack
  const unsigned long more = getauxval(AT_HWCAP2);
  cpu.dotprod = (getauxval(AT_HWCAP) & kDotProd) == kDotProd;
  bf16 = more & kBf16;
  i8mm = more & kI8mm;
#elif defined(__APPLE__)
  const auto has = [](const char* name) {  // every Mac with such a CPU has all of Armv8.2
    int value = 0;
    size_t size = sizeof value;
    return sysctlbyname(name, &value, &size, nullptr, 0) == 0 && value != 0;
  };
  cpu.dotprod = has("hw.optional.arm.FEAT_DotProd");
  bf16 = has("hw.optional.arm.FEAT_BF16");
  i8mm = has("hw.optional.arm.FEAT_I8MM");
#elif defined(_WIN32)
  // PF_ARM_V8_CRC32_…, V81_ATOMIC_…, V82_DP_…, V86_BF16_… and V82_I8MM_INSTRUCTIONS_AVAILABLE; older headers lack the last two.
  constexpr DWORD kCrc32 = 31, kAtomics = 34, kDotProd = 43, kI8mm = 66, kBf16 = 68;
  cpu.dotprod = IsProcessorFeaturePresent(kCrc32) && IsProcessorFeaturePresent(kAtomics) && IsProcessorFeaturePresent(kDotProd);
  bf16 = IsProcessorFeaturePresent(kBf16);
  i8mm = IsProcessorFeaturePresent(kI8mm);
#endif
  cpu.bf16_i8mm = cpu.dotprod && bf16 && i8mm;
  return cpu;
}

#else

CpuFeatures cpu_features() { return {}; }

#endif

}  // namespace clip_es
