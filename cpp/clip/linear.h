// A linear layer, y = x W^T + b, in the precision the model was loaded with.
#pragma once
#include <cstdint>
#include <memory>
#include <span>

#include "core/arena.h"
#include "core/context.h"
#include "core/precision.h"
#include "ops/packed_matmul.h"
#include "torch/packed_weight.h"

namespace clip_es::torch {

using clip_es::Precision;

class Linear {
 public:
  Linear() = default;
  // weight (outputs, inputs); bias (outputs) or empty. Both are copied: as they are in float32, in other precisions packed at once.
  Linear(std::span<const float> weight, std::span<const float> bias, int64_t inputs, Precision precision);
  // A float32 layer for seldom use: its weights are kept in half the memory when 16 bits hold them exactly, as those of OpenAI's archives,
  // and widened for each product.
  static Linear compact(std::span<const float> weight, std::span<const float> bias, int64_t inputs);
  // y = x W of a float32 layer's W, without bias, packed. Not for kInt8.
  static Linear transposed(const Linear&, Precision);

  // Rounds and reorders a float32 layer's weights for products: weight() is gone then.
  void pack(Precision);

  // x (rows, inputs) -> y (rows, outputs), rows shared among the pool's threads. y must not be x. The epilogue's bias is the layer's own.
  void operator()(HostContext&, const float* x, int64_t rows, float* y, ops::Epilogue epilogue = {}) const;
  void operator()(HostContext&, const ops::RowSource& x, int64_t rows, float* y, ops::Epilogue epilogue = {}) const;

  // y += out(activation(in(x))), rows of x (rows, inputs of in), of y (rows, outputs of out). A row of x may be made of the same row of y.
  static void feed_forward(HostContext&, const Linear& in, Activation, const Linear& out, const ops::RowSource& x, int64_t rows, float* y);

  int64_t inputs() const { return inputs_; }
  int64_t outputs() const { return outputs_; }
  const float* weight() const;  // (outputs, inputs), of a float32 layer that is neither compact nor packed
  const float* bias() const { return reinterpret_cast<const float*>(bias_.get()); }  // (outputs), or null
  size_t bytes() const;                                                              // of memory held

 private:
  // How the weights are kept. The bias is float32 beside all of them.
  enum class Storage { kPlain, kPacked, kFloat16, kLibrary };

  void pack(Precision, std::span<const float> weight);
  void multiply(HostContext&, const float* x, int64_t rows, float* y) const;
  void multiply_compact(HostContext&, const float* x, int64_t rows, float* y) const;
  void multiply_by_library(HostContext&, const float* x, int64_t rows, float* y) const;

  int64_t inputs_ = 0, outputs_ = 0;
  Storage storage_ = Storage::kPlain;
  AlignedBytes weight_, bias_;
  ops::PackedMatrix panels_;              // of kPacked, instead of weight_
  std::unique_ptr<PackedWeight> packed_;  // of kLibrary, instead of weight_
};

}  // namespace clip_es::torch
