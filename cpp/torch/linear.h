// A linear layer, y = x W^T + b, in the precision the model was loaded with.
#pragma once
#include <cstdint>
#include <memory>
#include <span>

#include "core/arena.h"
#include "core/context.h"
#include "ops/packed_matmul.h"
#include "torch/packed_weight.h"

namespace clip_es::torch {

enum class Precision { kFloat32, kBFloat16 };

class Linear {
 public:
  Linear() = default;
  // weight (outputs, inputs); bias (outputs) or empty. Both are copied.
  Linear(std::span<const float> weight, std::span<const float> bias, int64_t inputs, Precision precision);
  // A float32 layer for seldom use: its weights are kept in half the memory when 16 bits hold them exactly, as those of OpenAI's archives,
  // and widened for each product.
  static Linear compact(std::span<const float> weight, std::span<const float> bias, int64_t inputs);

  // Reorders a float32 layer's weights for our own kernel, where the processor has one: weight() is gone then.
  void pack();

  // x (rows, inputs) -> y (rows, outputs), rows shared among the pool's threads. y must not be x.
  void operator()(Context&, const float* x, int64_t rows, float* y) const;

  int64_t inputs() const { return inputs_; }
  int64_t outputs() const { return outputs_; }
  const float* weight() const;  // (outputs, inputs), of a float32 layer that is neither compact nor packed
  const ops::PackedMatrix* panels() const { return storage_ == Storage::kPackedFloat32 ? &panels_ : nullptr; }
  const float* bias() const;  // (outputs), or null
  size_t bytes() const;       // of memory held

 private:
  // How the weights are kept. The bias is bfloat16 beside bfloat16 weights and float32 beside others.
  enum class Storage { kFloat32, kPackedFloat32, kFloat16, kBFloat16, kPackedBFloat16 };

  void multiply_compact(Context&, const float* x, int64_t rows, float* y) const;
  void multiply_bfloat16(Context&, const float* x, int64_t rows, float* y) const;
  void multiply_bfloat16_rows(uint16_t* x, int64_t rows, uint16_t* y_scratch, float* y) const;

  int64_t inputs_ = 0, outputs_ = 0;
  Storage storage_ = Storage::kFloat32;
  AlignedBytes weight_, bias_;
  ops::PackedMatrix panels_;              // of kPackedFloat32, instead of weight_
  std::unique_ptr<PackedWeight> packed_;  // of kPackedBFloat16, instead of weight_
};

}  // namespace clip_es::torch
