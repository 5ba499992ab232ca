// The arguments of the kernels for maps by similarity. kernels.h has the rules and the names. N: patches of a photo.
#pragma once
#include <cstdint>

#include "ops/cuda/photos.h"

namespace clip_es::cuda {

// Where a window begins in the photo's grid, in patches.
struct WindowPlace {
  int64_t row, column;
};

// Copies the patches of windows of one size out of a photo's patches. Twin: cut_window in cam/patch_features.cpp.
struct CutWindows {
  Photos<WindowPlace> places;
  const void* patches;            // (gh, photo_columns, values)
  int64_t photo_columns;          // gw
  int64_t rows, columns, values;  // of a window, and the values of a patch
  void* windows;                  // (places, rows, columns, values)
  bool bfloat16 = false;          // type of patches and windows
};

// out = factor * out + added_factor * added, element by element. `added` is repeated until `out` ends. Twins: ops::add_scaled, ops::scale.
struct AddScaled {
  float* out;          // (count)
  const float* added;  // (added_count)
  int64_t count, added_count;
  float factor, added_factor;
};

// y = x / |x| for each row, with the norm in double; a row of zeros stays zero. Twin: clip_es::project.
struct UnitRows {
  const float* x;  // (rows, width)
  int64_t rows, width;
  float* y;  // (rows, width); may be x
};

// Keeps the similarities of at least `least` in each row, and divides them by their sum. Twin: clip_es::to_averaging_weights.
struct AveragingWeights {
  float* similarity;  // (N, N)
  int64_t patches;
  float least;
};

// In each row, the softmax of sharpness * similarity. Similarities below the mean of the matrix get 0. Two kernels.
// Twin: clip_es::to_attention.
struct SimilarityAttention {
  float* similarity;  // (N, N)
  int64_t patches;
  float sharpness;
  double* row_sums;  // scratch: (N)
};

}  // namespace clip_es::cuda
