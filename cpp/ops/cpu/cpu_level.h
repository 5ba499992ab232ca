// The CPU levels: the instruction sets for which the kernels are compiled.
#pragma once
#include <span>
#include <string_view>

#include "ops/cpu/kernels.h"

namespace clip_es::ops {

struct CpuLevel {
  const char* name;  // as in CLIP_ES_CPU
  const Kernels& kernels;
  bool multiplies_bfloat16 = false;  // by instructions; the other levels convert to float32
};

// The levels that this CPU has, the best one first. The last one is `baseline`, which every CPU has.
std::span<const CpuLevel> cpu_levels();

// The best level if `name` is empty, otherwise the level of that name. Throws Error kInvalidArg if this CPU has no such level.
const CpuLevel& find_cpu_level(std::string_view name);

// The level in use: find_cpu_level of the environment variable CLIP_ES_CPU, which is read once.
const CpuLevel& cpu_level();

}  // namespace clip_es::ops
