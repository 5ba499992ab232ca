#include "ops/lattice_key.h"

#include "ops/cpu/kernels.h"

namespace clip_es::ops {
namespace {

template <int D>
KeyParts parts_of(const KeyLayout<D>& layout) {
  Key start = 0;
  for (int i = 0; i < D; ++i) start += static_cast<Key>(layout.offset[i]) << layout.shift[i];
  return {start, layout.shift, layout.one};
}

}  // namespace

void lattice_keys_2(const KeyLayout<2>& layout, const float* scaled, int64_t stride, int64_t count, Key* keys, float* weights) {
  kernels().lattice_keys_2(parts_of(layout), scaled, stride, count, keys, weights);
}

void lattice_keys_5(const KeyLayout<5>& layout, const float* scaled, int64_t stride, int64_t count, Key* keys, float* weights) {
  kernels().lattice_keys_5(parts_of(layout), scaled, stride, count, keys, weights);
}

void find_triangles(const float* x, float y, int64_t count, int32_t* quotient, int32_t* last, float* weights) {
  kernels().find_triangles(x, y, count, quotient, last, weights);
}

}  // namespace clip_es::ops
