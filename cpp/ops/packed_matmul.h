// y = x W^T + b, where W was packed once: reordered, and converted to the format that the CPU multiplies. The product of a library reorders
// the weights in every call. x and y are float32.
#pragma once
#include <cstdint>
#include <optional>
#include <vector>

#include "core/array.h"
#include "core/context.h"
#include "core/precision.h"
#include "ops/ops.h"

namespace clip_es::ops {

// Returns a row of x: either a pointer to a stored row, or `memory` after the row was computed into it. `memory` has room for one row. A
// product calls this function once for each row, on several threads at the same time.
using RowSource = FunctionRef<const float*(int64_t row, float* memory)>;

// A weight matrix in panels of a few outputs each, see cpu/product_tile.h. The layout depends on the CPU level.
struct PackedMatrix {
  Precision precision = Precision::kFloat32;
  int64_t outputs = 0, inputs = 0;
  Array<std::byte> panels;
  std::vector<float> scales;  // (outputs), for kInt8 only: w = scale * q
  size_t bytes() const;
};

// Calls visitor(member) for each member, to save or to restore the matrix. Matrix is PackedMatrix or const PackedMatrix.
template <class Visitor, class Matrix>
void visit(Visitor& visitor, Matrix& matrix) {
  visitor(matrix.precision);
  visitor(matrix.outputs);
  visitor(matrix.inputs);
  visitor(matrix.panels);
  visitor(matrix.scales);
}

// weight (outputs, inputs).
PackedMatrix pack_matrix(Precision, const float* weight, int64_t outputs, int64_t inputs);
// The same for a weight that is stored transposed: (inputs, outputs). Not for kInt8.
PackedMatrix pack_transposed_matrix(Precision, const float* weight, int64_t outputs, int64_t inputs);

// The last step of a product, while the sums are in registers or in the first-level cache: y = activation(x W^T + bias), or
// y += x W^T + bias.
struct Epilogue {
  const float* bias = nullptr;  // (outputs)
  bool add = false;             // cannot be combined with an activation
  std::optional<Activation> activation{};
};

// x (rows, inputs) -> y (rows, outputs). Every element is summed in the same order for any number of threads. With kInt8, each row of x is
// rounded to integers with one scale.
void packed_matmul(HostContext&, const PackedMatrix&, const RowSource& x, int64_t rows, const Epilogue&, float* y);
void packed_matmul(HostContext&, const PackedMatrix&, const float* x, int64_t rows, const Epilogue&, float* y);
// The same on the calling thread. scratch: packed_matmul_scratch() bytes, 64-byte aligned.
void packed_matmul(const PackedMatrix&, const RowSource& x, int64_t rows, const Epilogue&, std::byte* scratch, float* y);
int64_t packed_matmul_scratch(const PackedMatrix&, int64_t rows);  // a multiple of 64

struct PackedLayer {
  const PackedMatrix& weight;
  const float* bias;  // (outputs)
};

// y += activation(x V^T + b) W^T + c. x (rows, inputs of V), y (rows, outputs of W). The result is the same as that of two products,
// but the activations are packed as soon as they are computed. x may be computed from y: each thread reads its rows of x before it writes
// the same rows of y. Not for kInt8, because a whole row must be known before it is rounded.
void packed_feed_forward(HostContext&, const PackedLayer& in, Activation, const PackedLayer& out, const RowSource& x, int64_t rows,
                         float* y);

}  // namespace clip_es::ops
