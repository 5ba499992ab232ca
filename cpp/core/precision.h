// How numbers are stored where they are multiplied. Sums, and everything between products, are float32 in every precision.
#pragma once

namespace clip_es {

enum class Precision { kFloat32, kBFloat16, kInt8 };

}  // namespace clip_es
