// Short vectors of floats that GCC and Clang compile for every processor.
#pragma once
#include <cstdint>
#include <cstring>

#define CLIP_ES_INLINE [[gnu::always_inline]] inline

namespace clip_es::ops {

typedef float Float2 __attribute__((vector_size(8)));
typedef float Float4 __attribute__((vector_size(16)));
typedef float Float8 __attribute__((vector_size(32)));
typedef uint32_t Bits8 __attribute__((vector_size(32)));

// By reference: 32-byte vectors as values have another calling convention on every level of the processor.
template <class V>
CLIP_ES_INLINE void load(V& v, const float* p) {
  std::memcpy(&v, p, sizeof v);
}
template <class V>
CLIP_ES_INLINE void store(float* p, const V& v) {
  std::memcpy(p, &v, sizeof v);
}

// Asks for what will be read: of short pieces far apart, no processor guesses where the next one lies.
CLIP_ES_INLINE void prefetch(const float* p, int64_t count) {
  for (int64_t i = 0; i < count; i += 16) __builtin_prefetch(p + i);
}

}  // namespace clip_es::ops
