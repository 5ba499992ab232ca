// A linear layer on the CPU: y = x W^T + b.
#pragma once
#include <cstdint>
#include <memory>

#include "clip/tensors.h"
#include "core/array.h"
#include "core/context.h"
#include "core/precision.h"
#include "ops/matmul.h"
#include "ops/packed_matmul.h"
#include "torch/packed_weight.h"

namespace clip_es {

class Linear {
 public:
  Linear() = default;
  // Packs the weights for fast products.
  Linear(const LinearTensors&, Precision);
  // A float32 layer that needs half the memory if float16 represents all weights exactly, which is so in OpenAI's archives. Each product
  // converts and packs the weights again, so use this for layers that run rarely.
  static Linear compact(const LinearTensors&);

  // x (rows, inputs) -> y (rows, outputs). y must not overlap x. The layer's own bias is used, not epilogue.bias.
  void operator()(HostContext&, const float* x, int64_t rows, float* y, ops::Epilogue epilogue = {}) const;
  void operator()(HostContext&, const ops::RowSource& x, int64_t rows, float* y, ops::Epilogue epilogue = {}) const;

  // y += out(activation(in(x))) with x (rows, inputs of in) and y (rows, outputs of out). x may be computed from y: each thread reads its
  // rows of x before it writes the same rows of y.
  static void feed_forward(HostContext&, const Linear& in, Activation, const Linear& out, const ops::RowSource& x, int64_t rows, float* y);

  int64_t inputs() const { return inputs_; }
  int64_t outputs() const { return outputs_; }
  const float* bias() const { return bias_.data(); }  // (outputs), or null
  size_t bytes() const;                               // memory of weights and bias

  // False if the layer's weights are in a format of LibTorch, which only this process can use.
  bool can_be_saved() const { return storage_ != Storage::kOneDnn; }
  // Calls visitor(member) for each member, to save or to restore the layer. Self is Linear or const Linear.
  template <class Visitor, class Self>
  static void visit(Visitor& visitor, Self& self) {
    visitor(self.inputs_);
    visitor(self.outputs_);
    visitor(self.storage_);
    visitor(self.weight_);
    visitor(self.bias_);
    ops::visit(visitor, self.panels_);
  }

 private:
  enum class Storage {
    kPanels,   // panels_, for our own products
    kFloat32,  // weight_, as float32
    kFloat16,  // weight_, as float16
    kOneDnn,   // packed_, for oneDNN's bfloat16 products
  };

  ops::UnpackedWeight unpacked() const;
  void multiply_by_onednn(HostContext&, const ops::RowSource& x, int64_t rows, float* y, const ops::Epilogue&) const;

  int64_t inputs_ = 0, outputs_ = 0;
  Storage storage_ = Storage::kPanels;
  Array<std::byte> weight_;
  Array<float> bias_;
  ops::PackedMatrix panels_;
  std::unique_ptr<torch::PackedWeight> packed_;
};

}  // namespace clip_es
