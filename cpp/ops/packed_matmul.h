// y = x W^T + b in float32 with W's panels packed once: what a library's product spends on reordering the weights, every time, is saved.
#pragma once
#include <cstdint>

#include "core/arena.h"
#include "core/context.h"

namespace clip_es::ops {

// Panels of as many outputs as two of the processor's vectors hold, each (inputs, panel), the last filled with zeros.
struct PackedMatrix {
  AlignedBytes panels;
  int64_t outputs = 0, inputs = 0, panel = 0;
  size_t bytes() const;
};

// weight (outputs, inputs). Empty (no panels) where the processor has none of the vectors that the kernel is written for: LibTorch is as
// good there.
PackedMatrix pack_matrix(const float* weight, int64_t outputs, int64_t inputs);

// x (rows, inputs) -> y (rows, outputs); bias (outputs) or null. Every element is summed in the same order, however rows are shared.
void packed_matmul(Context&, const PackedMatrix&, const float* x, int64_t rows, const float* bias, float* y);
// The same on the calling thread; scratch has packed_matmul_scratch() floats.
void packed_matmul(const PackedMatrix&, const float* x, int64_t rows, const float* bias, float* scratch, float* y);
int64_t packed_matmul_scratch(const PackedMatrix&, int64_t rows);

}  // namespace clip_es::ops
