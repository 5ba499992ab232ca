#include "ops/lattice.h"

#include "ops/cpu/kernels.h"

#if defined(__SSE__)
#include <xmmintrin.h>
#endif

namespace clip_es::ops {

void lattice_splat(const LatticeCorners& corners, const float* pixels, int64_t count, int64_t channels, float* slots, int64_t ahead) {
  kernels().lattice_splat(corners, pixels, count, channels, slots, ahead);
}

void lattice_slice(const LatticeCorners& corners, const float* slots, int64_t count, int64_t channels, bool add, float* pixels) {
  kernels().lattice_slice(corners, slots, count, channels, add, pixels);
}

void lattice_fetch(const float* points, std::span<const uint32_t> point, int64_t channels, float* slots) {
  kernels().lattice_fetch(points, point.data(), std::ssize(point), channels, slots);
}

void lattice_gather(const float* slots, const uint32_t* sources, int64_t count, int64_t channels, float* points) {
  kernels().lattice_gather(slots, sources, count, channels, points);
}

void lattice_blur(const float* here, const float* values, const LatticeNeighbours* neighbours, int64_t count, int64_t channels,
                  float* out) {
  kernels().lattice_blur(here, values, neighbours, count, channels, out);
}

void lattice_blur_row(const float* here, const float* before, const float* after, int64_t count, float* out) {
  kernels().lattice_blur_row(here, before, after, count, out);
}

void normalise_weights(const float* sums, int64_t count, int64_t corners, float strength, float* weight) {
  kernels().normalise_weights(sums, count, corners, strength, weight);
}

void stream_values(const float* from, int64_t count, float* to) {
  int64_t i = 0;
#if defined(__SSE__)
  for (; i < count && reinterpret_cast<uintptr_t>(to + i) % 16; ++i) to[i] = from[i];
  for (; i + 4 <= count; i += 4) _mm_stream_ps(to + i, _mm_loadu_ps(from + i));
#endif
  for (; i < count; ++i) to[i] = from[i];
}

void stream_out(float* from, int64_t count, float* to) {
  constexpr int64_t kChunk = 256;  // small, so that the values are still in the first-level cache when they are cleared
  for (int64_t i = 0; i < count; i += kChunk) {
    const int64_t here = i + kChunk <= count ? kChunk : count - i;
    stream_values(from + i, here, to + i);
    for (int64_t k = 0; k < here; ++k) from[i + k] = 0;
  }
}

void finish_streams() {
#if defined(__SSE__)
  _mm_sfence();
#endif
}

}  // namespace clip_es::ops
