#include "ops/cpu/cpu_level.h"

#include <string>
#include <vector>

#include "core/cpu_features.h"
#include "core/error.h"
#include "core/platform/environment.h"

namespace clip_es::ops {

// One table per level that CMakeLists.txt compiles, best first below.
namespace baseline {
extern const Kernels table;
}
#if defined(__x86_64__)
namespace avx2 {
extern const Kernels table;
}
namespace avx512 {
extern const Kernels table;
}
namespace avx512_vnni {
extern const Kernels table;
}
namespace avx512_bf16 {
extern const Kernels table;
}
#elif defined(__aarch64__)
namespace dotprod {
extern const Kernels table;
}
namespace bf16_i8mm {
extern const Kernels table;
}
#endif

namespace {

std::vector<CpuLevel> find_levels() {
  std::vector<CpuLevel> levels;
  [[maybe_unused]] const CpuFeatures cpu = cpu_features();
#if defined(__x86_64__)
  if (cpu.avx512_bf16 && cpu.avx512_vnni) levels.push_back({"avx512_bf16", avx512_bf16::table, true});
  if (cpu.avx512_vnni) levels.push_back({"avx512_vnni", avx512_vnni::table});
  if (cpu.avx512) levels.push_back({"avx512", avx512::table});
  if (cpu.avx2) levels.push_back({"avx2", avx2::table});
#elif defined(__aarch64__)
  if (cpu.bf16_i8mm) levels.push_back({"bf16_i8mm", bf16_i8mm::table, true});
  if (cpu.dotprod) levels.push_back({"dotprod", dotprod::table});
#endif
  levels.push_back({"baseline", baseline::table});
  return levels;
}

}  // namespace

std::span<const CpuLevel> cpu_levels() {
  static const std::vector<CpuLevel> levels = find_levels();
  return levels;
}

const CpuLevel& find_cpu_level(std::string_view name) {
  std::string names;
  for (const CpuLevel& level : cpu_levels()) {
    if (name.empty() || name == level.name) return level;
    names += names.empty() ? level.name : std::string(", ") + level.name;
  }
  throw Error(ErrorCode::kInvalidArg, "CLIP_ES_CPU is '" + std::string(name) + "', which is not a level of this CPU. It has: " + names +
                                          ". Unset the variable to use the best one.");
}

const CpuLevel& cpu_level() {
  static const CpuLevel& level = find_cpu_level(platform::environment_variable("CLIP_ES_CPU"));
  return level;
}

const Kernels& kernels() { return cpu_level().kernels; }

const ProductTile& product_tile(Precision precision) { return kernels().tiles[static_cast<size_t>(precision)]; }

}  // namespace clip_es::ops
