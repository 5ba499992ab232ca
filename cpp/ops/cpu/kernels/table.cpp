// The table of one CPU level.
#include "ops/cpu/kernels.h"

// In the order of struct Kernels.
// clang-format off
#define CLIP_ES_KERNELS(X) \
  X(quick_gelu) X(coarse_quick_gelu) X(gelu) X(quick_gelu_slope) X(gelu_slope) \
  X(add) X(add_scaled) X(scale) X(dot) X(dot_four_rows) X(dot_rows_by_four) X(add_four_rows) X(largest) X(largest_magnitude) \
  X(exponentials) X(coarse_exponentials) X(shifted_exponentials) \
  X(layer_norm_row) X(normalise_row) \
  X(gather_row) X(add_key) X(mlp_gradient_e) X(mlp_gradient_row) \
  X(to_bfloat16) X(from_bfloat16) X(from_float16) \
  X(quantise) X(interleave) X(interleave_pair) \
  X(rescale) X(add_bias) X(store_tile) \
  X(resize_bilinear_row) \
  X(lattice_splat) X(lattice_slice) X(lattice_fetch) X(lattice_gather) X(lattice_blur) X(lattice_blur_row) X(normalise_weights) \
  X(lattice_keys_2) X(lattice_keys_5) X(find_triangles) \
  X(log_scores) X(mean_field_update) X(marginals_of)
// clang-format on

namespace clip_es::ops::CLIP_ES_LEVEL {

// Declares every kernel of this level with its type in the table, so that a definition of another type does not link.
template <class T>
struct Pointee;
template <class T>
struct Pointee<T*> {
  using Type = T;
};
#define CLIP_ES_DECLARE(name) extern Pointee<decltype(Kernels::name)>::Type name;
CLIP_ES_KERNELS(CLIP_ES_DECLARE)
extern const ProductTile product_tiles[3];

#if defined(__AVX512BF16__) || defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)
CLIP_ES_DECLARE(interleave_bfloat16)
#else
constexpr decltype(Kernels::interleave_bfloat16) interleave_bfloat16 = nullptr;
#endif

#define CLIP_ES_FILL(name) .name = name,
extern const Kernels table;
constinit const Kernels table = {CLIP_ES_KERNELS(CLIP_ES_FILL).interleave_bfloat16 = interleave_bfloat16, .tiles = product_tiles};

}  // namespace clip_es::ops::CLIP_ES_LEVEL
