// Short vectors of floats that GCC and Clang compile for every CPU. Vectors of 32 bytes are passed by reference, because their calling
// convention depends on the level.
#pragma once
#include <cstdint>
#include <cstring>

#define CLIP_ES_INLINE [[gnu::always_inline]] inline

namespace clip_es::ops::CLIP_ES_LEVEL {

typedef float Float2 __attribute__((vector_size(8)));
typedef float Float4 __attribute__((vector_size(16)));
typedef float Float8 __attribute__((vector_size(32)));
typedef uint32_t Bits4 __attribute__((vector_size(16)));
typedef uint32_t Bits8 __attribute__((vector_size(32)));

// For comparisons: vectors of floats that fit in a register of every CPU of the level. GCC splits comparisons of longer ones into scalars.
#if defined(__AVX2__)
typedef Float8 Floats;
typedef Bits8 FloatBits;
#else
typedef Float4 Floats;
typedef Bits4 FloatBits;
#endif
constexpr int64_t kFloatLanes = sizeof(Floats) / sizeof(float);

template <class V>
CLIP_ES_INLINE void load(V& v, const void* p) {
  std::memcpy(&v, p, sizeof v);
}
template <class V>
CLIP_ES_INLINE void store(void* p, const V& v) {
  std::memcpy(p, &v, sizeof v);
}

// Transposes a square of 4 x 4 words. V is Float4 or Bits4.
template <class V>
CLIP_ES_INLINE void transpose(V (&row)[4]) {
  const V ab = __builtin_shufflevector(row[0], row[1], 0, 4, 1, 5), cd = __builtin_shufflevector(row[2], row[3], 0, 4, 1, 5);
  const V ab_high = __builtin_shufflevector(row[0], row[1], 2, 6, 3, 7), cd_high = __builtin_shufflevector(row[2], row[3], 2, 6, 3, 7);
  row[0] = __builtin_shufflevector(ab, cd, 0, 1, 4, 5);
  row[1] = __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
  row[2] = __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5);
  row[3] = __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7);
}

}  // namespace clip_es::ops::CLIP_ES_LEVEL
