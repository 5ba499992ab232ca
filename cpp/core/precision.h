// The number format of the operands of matrix products. Sums, and all other operations, use float32 in every precision.
#pragma once
#include <string_view>

namespace clip_es {

enum class Precision { kFloat32, kBFloat16, kInt8 };

constexpr const char* name_of(Precision precision) {
  constexpr const char* names[] = {"float32", "bfloat16", "int8"};
  return names[static_cast<int>(precision)];
}

// Returns false when no precision has this name.
constexpr bool find_precision(std::string_view name, Precision& precision) {
  for (const Precision p : {Precision::kFloat32, Precision::kBFloat16, Precision::kInt8})
    if (name == name_of(p)) return precision = p, true;
  return false;
}

}  // namespace clip_es
