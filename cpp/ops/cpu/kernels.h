// The inner loops of the CPU engine. CMake compiles every source in kernels/ once per CPU level, each time into a namespace with the
// level's name and with that level's compiler flags. Each level fills one table of function pointers, and the program uses the table of
// the best level that its CPU has. The functions in ops/*.h do the rest: they split the work among threads and call kernels.
//
// To add a kernel: declare it here, list it in kernels/table.cpp, define it in a source in kernels/.
// To add a level: see cpu_level.cpp and CMakeLists.txt.
#pragma once
#include <cstddef>
#include <cstdint>

#include "ops/cpu/product_tile.h"
#include "ops/lattice.h"
#include "ops/tap.h"

namespace clip_es::ops {

// One patch and one class of MlpGradient (ops/gradcam.h). The fields have the same names.
struct MlpGradientRow {
  int64_t width, hidden;
  const float *u, *omega, *alpha, *fc_gamma, *fc_offset;              // (hidden)
  const float *a_out, *z_hat_out, *h_hat_out, *out_proj_column_sums;  // (width)
  float b, rstd_2, rstd_post;
};
struct MlpGradientSums {
  float gamma, u;  // e . fc_gamma and e . (u - fc_offset) / width
};

// The layout of the keys of lattice points: see KeyLayout in ops/lattice_key.h.
struct KeyParts {
  uint64_t start;       // the key of the point at the origin
  const int* shift;     // (D)
  const uint64_t* one;  // (D)
};

// A kernel runs on the calling thread and allocates nothing. Unless a comment says otherwise, the pointers of one call must not overlap.
struct Kernels {
  // Activations, in place. The error of the coarse one is at most 1e-5.
  void (*quick_gelu)(float* u, int64_t count);
  void (*coarse_quick_gelu)(float* u, int64_t count);
  void (*gelu)(float* u, int64_t count);
  void (*quick_gelu_slope)(const float* u, int64_t count, float* slope);  // slope may be u
  void (*gelu_slope)(const float* u, int64_t count, float* slope);        // slope may be u

  // Vectors
  void (*add)(float* a, const float* b, int64_t count);                       // a += b
  void (*add_scaled)(float* a, const float* b, int64_t count, float factor);  // a += factor * b
  void (*scale)(float* a, const float* b, int64_t count, float factor);       // a = factor * b; a may be b
  float (*dot)(const float* a, const float* b, int64_t count);
  // Products of a matrix and a vector v, for four rows of m that are `stride` floats apart: y[r] = row r times v, and y[j] += sum over r of
  // v[r] times element j of row r.
  void (*dot_four_rows)(const float* m, int64_t stride, const float* v, int64_t count, float* y);
  // y[r * y_stride + j] = row r of x times row j of m, for `rows` rows of x and four rows of m. Writes four floats per row of x.
  void (*dot_rows_by_four)(const float* m, int64_t stride, const float* const* x, int64_t rows, int64_t count, float* y, int64_t y_stride);
  void (*add_four_rows)(const float* m, int64_t stride, const float* v, int64_t count, float* y);
  float (*largest)(const float* x, int64_t count);            // count > 0
  float (*largest_magnitude)(const float* x, int64_t count);  // 0 when count is 0

  // Softmax. The first two return the sum of the results. The error of the coarse one is at most 1e-5.
  float (*exponentials)(float* x, int64_t count, float scale, float shift);  // x = e^(scale * x - shift)
  float (*coarse_exponentials)(float* x, int64_t count, float scale, float shift);
  void (*shifted_exponentials)(float* x, int64_t count, float scale, const float* shift);  // x_i = e^(scale * x_i - shift_i)

  // Layer norm of one row. y may be x. normalise_row returns 1 / standard deviation.
  void (*layer_norm_row)(const float* x, int64_t width, float epsilon, const float* gamma, const float* beta, float* y);
  float (*normalise_row)(const float* x, int64_t width, float epsilon, float* x_hat);

  // Attention's backward pass; names as in attention_gradient.cpp. `probability` is the patch's attention to the class token.
  // gather_row: computes one row of [dO | delta] (size + 1), and adds the patch's terms to the sums of dk and dv.
  void (*gather_row)(const float* gradient, const float* out, const float* class_value, const float* query, int64_t size, float probability,
                     float scale, float* row, float* key_sums, float* value_sums);
  // add_key: adds one key's term to the sums of dq. product (size + 1): the key's row of P^T [dO | delta].
  void (*add_key)(const float* product, const float* value, const float* key, int64_t size, float scale, float* query_sums);

  // The MLP's backward pass. slope (hidden) = act'(u) rstd_post, product (width) = composite e.
  MlpGradientSums (*mlp_gradient_e)(const MlpGradientRow&, const float* slope, float* e);
  void (*mlp_gradient_row)(const MlpGradientRow&, MlpGradientSums, const float* product, float* out_gradient);

  // Conversions, as in ops/half.h.
  void (*to_bfloat16)(const float* from, int64_t count, uint16_t* to);
  void (*from_bfloat16)(const uint16_t* from, int64_t count, float* to);
  void (*from_float16)(const uint16_t* from, int64_t count, float* to);

  // Packing, see pack.h.
  int32_t (*quantise)(const float* x, int64_t count, float factor, int8_t* to);  // rounds factor * x; returns the sum of `to`
  // Chunk i of row r, of `chunk` words, becomes chunk i * step + r of `to`, for four rows of `count` words. chunk is 1 or 2.
  void (*interleave)(const std::byte* const rows[4], int64_t count, int64_t chunk, int64_t step, uint32_t* to);
  // to[i] = high[i] << 16 | low[i]
  void (*interleave_pair)(const uint16_t* low, const uint16_t* high, int64_t count, uint32_t* to);

  // The epilogue of a tile of sums, whose rows are `stride` floats apart.
  // rescale: converts sums of integers to floats. The integers of weights are 128 too large, and each column has a scale.
  void (*rescale)(float* sums, int64_t rows, int64_t columns, int64_t stride, const RowScale* x, const float* weight_scales);
  void (*add_bias)(float* sums, int64_t rows, int64_t columns, int64_t stride, const float* bias);
  // y = sums + bias + y. Bias may be null; y is only added if `add`. Rows of y are row_stride floats apart.
  void (*store_tile)(const float* sums, int64_t rows, int64_t columns, int64_t stride, const float* bias, bool add, float* y,
                     int64_t row_stride);

  void (*resize_bilinear_row)(const float* map, int64_t width, const Tap& vertical, const Tap* horizontal, int64_t count, float* out);

  // The permutohedral lattice, as in ops/lattice.h and ops/lattice_key.h.
  void (*lattice_splat)(const LatticeCorners&, const float* pixels, int64_t count, int64_t channels, float* slots, int64_t ahead);
  void (*lattice_slice)(const LatticeCorners&, const float* slots, int64_t count, int64_t channels, bool add, float* pixels);
  void (*lattice_fetch)(const float* points, const uint32_t* point, int64_t count, int64_t channels, float* slots);
  void (*lattice_gather)(const float* slots, const uint32_t* sources, int64_t count, int64_t channels, float* points);
  void (*lattice_blur)(const float* here, const float* values, const LatticeNeighbours*, int64_t count, int64_t channels, float* out);
  void (*lattice_blur_row)(const float* here, const float* before, const float* after, int64_t count, float* out);
  void (*normalise_weights)(const float* sums, int64_t count, int64_t corners, float strength, float* weight);
  // These three give the same keys and weights, bit for bit, at every level.
  void (*lattice_keys_2)(const KeyParts&, const float* scaled, int64_t stride, int64_t count, uint64_t* keys, float* weights);
  void (*lattice_keys_5)(const KeyParts&, const float* scaled, int64_t stride, int64_t count, uint64_t* keys, float* weights);
  void (*find_triangles)(const float* x, float y, int64_t count, int32_t* quotient, int32_t* last, float* weights);

  // Mean-field inference, as in ops/mean_field.h.
  bool (*log_scores)(const float* scores, int64_t count, float smallest, float* logs);
  void (*mean_field_update)(const float* unary, int64_t labels, int64_t count, float* message);
  void (*marginals_of)(const float* excess, int64_t labels, int64_t count, float* marginals, int64_t step);

  // Like interleave with the chunk of the tile for bfloat16, for four rows of `count` float32 that become bfloat16. Null at levels whose
  // CPUs have no instruction that rounds to bfloat16.
  void (*interleave_bfloat16)(const float* const rows[4], int64_t count, int64_t step, uint32_t* to);

  const ProductTile* tiles;  // (3), by Precision
};

// Returns the table in use, which never changes: that of the best level that this CPU has, or of the level that the environment variable
// CLIP_ES_CPU names. Throws Error kInvalidArg if CLIP_ES_CPU names a level that this CPU does not have. The first call may take
// microseconds and the following ones are cheap, but not free: call it outside of hot loops.
const Kernels& kernels();

}  // namespace clip_es::ops
