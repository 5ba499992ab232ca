// A linear layer, y = x W^T + b, in the precision the model was loaded with.
#pragma once
#include <cstdint>
#include <span>

#include "core/arena.h"
#include "core/context.h"

namespace clip_es::torch {

enum class Precision { kFloat32, kBFloat16 };

class Linear {
 public:
  Linear() = default;
  // weight (outputs, inputs); bias (outputs) or empty. Both are copied.
  Linear(std::span<const float> weight, std::span<const float> bias, int64_t inputs, Precision precision);

  // x (rows, inputs) -> y (rows, outputs), rows shared among the pool's threads. y must not be x.
  void operator()(Context&, const float* x, int64_t rows, float* y) const;

  int64_t inputs() const { return inputs_; }
  int64_t outputs() const { return outputs_; }
  const float* weight() const;  // (outputs, inputs), of a float32 layer
  const float* bias() const;    // (outputs), or null
  size_t bytes() const;         // of memory held

 private:
  void multiply_bfloat16(const float* x, int64_t rows, uint16_t* x_scratch, uint16_t* y_scratch, float* y) const;

  int64_t inputs_ = 0, outputs_ = 0;
  Precision precision_ = Precision::kFloat32;
  AlignedBytes weight_, bias_;  // both in the layer's precision
};

}  // namespace clip_es::torch
