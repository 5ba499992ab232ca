#include "core/cpu_features.h"

#include "core/platform/arm64_features.h"

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
