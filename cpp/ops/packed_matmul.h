// y = x W^T + b with W packed once, in the order and the numbers in which the processor multiplies it: what a library's product spends on
// reordering the weights, every time, is saved. x and y are float32.
#pragma once
#include <cstdint>
#include <optional>
#include <vector>

#include "core/arena.h"
#include "core/context.h"
#include "core/precision.h"
#include "ops/ops.h"

namespace clip_es::ops {

// The rows of x, where they stand or made when they are asked for, in `memory` for a row: a product reads each once.
using RowSource = FunctionRef<const float*(int64_t row, float* memory)>;

// Panels of some outputs each, see cpu/tile.h. Of 8-bit integers every output has a scale of its own.
struct PackedMatrix {
  Precision precision = Precision::kFloat32;
  int64_t outputs = 0, inputs = 0;
  AlignedBytes panels;
  std::vector<float> scales;  // (outputs) of kInt8: w = scale * q
  size_t bytes() const;
};

// weight (outputs, inputs).
PackedMatrix pack_matrix(Precision, const float* weight, int64_t outputs, int64_t inputs);
// The same of a weight that lies the other way: (inputs, outputs). Not for kInt8.
PackedMatrix pack_transposed_matrix(Precision, const float* weight, int64_t outputs, int64_t inputs);

// What becomes of the sums while they are in registers or in the first-level cache: y = activation(x W^T + bias), or y += x W^T + bias.
struct Epilogue {
  const float* bias = nullptr;  // (outputs)
  bool add = false;             // not with an activation
  std::optional<Activation> activation{};
};

// x (rows, inputs) -> y (rows, outputs). Every element is summed in the same order, however rows are shared. Of x every row's 8-bit
// integers have a scale of their own. The threads ask for rows of x at the same time.
void packed_matmul(HostContext&, const PackedMatrix&, const RowSource& x, int64_t rows, const Epilogue&, float* y);
void packed_matmul(HostContext&, const PackedMatrix&, const float* x, int64_t rows, const Epilogue&, float* y);
// The same on the calling thread, which takes `scratch`, packed_matmul_scratch() bytes.
void packed_matmul(const PackedMatrix&, const RowSource& x, int64_t rows, const Epilogue&, std::byte* scratch, float* y);
int64_t packed_matmul_scratch(const PackedMatrix&, int64_t rows);  // a multiple of 64

struct PackedLayer {
  const PackedMatrix& weight;
  const float* bias;  // (outputs)
};

// y += activation(x V^T + b) W^T + c, rows of x (rows, inputs of V), of y (rows, outputs of W). What lies between is packed as it is made:
// the same numbers as by two products. A thread reads its rows of x before it writes those of y, which x may be made of. Not for kInt8,
// whose rows must be whole before they are rounded.
void packed_feed_forward(HostContext&, const PackedLayer& in, Activation, const PackedLayer& out, const RowSource& x, int64_t rows,
                         float* y);

}  // namespace clip_es::ops
