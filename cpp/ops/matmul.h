// Float32 products of matrices that were not packed before. Each element is summed in the same order for any number of threads.
#pragma once
#include <cstdint>

#include "core/context.h"
#include "core/matrix.h"
#include "ops/packed_matmul.h"

namespace clip_es::ops {

// out (a.rows, b.columns), contiguous, = a b. out must not overlap a or b. Fast when one stride of each matrix is 1.
// Throws std::logic_error when the inner dimensions differ.
void matmul(HostContext&, const MatrixView& a, const MatrixView& b, float* out);

// A layer's weights (outputs, inputs), row-major: as float32, or as float16 if values is null.
struct UnpackedWeight {
  int64_t outputs, inputs;
  const float* values;
  const uint16_t* halves;
};

// x (rows, inputs) -> y (rows, outputs), like packed_matmul(). For many rows, the weights are packed panel by panel during the product; for
// few rows they are not packed. In both cases there is no second copy of all weights. Several threads call x at the same time. All of x is
// read before y is written.
void unpacked_matmul(HostContext&, const UnpackedWeight&, const RowSource& x, int64_t rows, const Epilogue&, float* y);

}  // namespace clip_es::ops
