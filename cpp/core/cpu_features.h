// What this CPU and the operating system support. Each feature is exactly the set of flags with which CMakeLists.txt compiles a level.
#pragma once

namespace clip_es {

struct CpuFeatures {
  bool avx2 = false;         // with FMA, BMI1 and BMI2
  bool avx512 = false;       // F, BW, CD, DQ and VL, plus all of avx2
  bool avx512_vnni = false;  // plus all of avx512
  bool avx512_bf16 = false;  // plus all of avx512
};

// All false on CPUs that are not x86-64.
CpuFeatures cpu_features();

}  // namespace clip_es
