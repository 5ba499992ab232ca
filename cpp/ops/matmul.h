// Float32 products of matrices that are not packed beforehand. Each element is summed in the same order for every number of threads.
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

// x (rows, inputs) -> y (rows, outputs), as packed_matmul. Many rows: packs the weights panel by panel during the product. Few rows:
// does not pack them. Neither keeps a second copy of the weights. Several threads ask for rows of x at the same time. All of x is read
// before y is written.
void unpacked_matmul(HostContext&, const UnpackedWeight&, const RowSource& x, int64_t rows, const Epilogue&, float* y);

}  // namespace clip_es::ops
