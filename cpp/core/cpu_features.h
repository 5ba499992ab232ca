// What this CPU and the operating system support. Each feature is exactly the set of flags with which CMakeLists.txt compiles a level.
#pragma once

namespace clip_es {

struct CpuFeatures {
  // x86-64
  bool avx2 = false;         // with FMA, BMI1 and BMI2
  bool avx512 = false;       // F, BW, CD, DQ and VL, plus all of avx2
  bool avx512_vnni = false;  // plus all of avx512
  bool avx512_bf16 = false;  // plus all of avx512
  // arm64
  bool dotprod = false;    // with all of Armv8.2
  bool bf16_i8mm = false;  // products of 2 x 4 bfloat16 and of 2 x 8 integers, plus all of dotprod
};

// The features of other CPU families are false.
CpuFeatures cpu_features();

}  // namespace clip_es
