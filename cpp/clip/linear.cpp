#include "clip/linear.h"

#include <algorithm>
#include <utility>

#include "ops/half.h"
#include "ops/ops.h"

namespace clip_es {
namespace {

constexpr int64_t kSmallestRows = 16;  // the fewest rows that a thread takes

}  // namespace

Linear::Linear(const LinearTensors& tensors, Precision precision)
    : inputs_(tensors.inputs), outputs_(tensors.outputs), bias_(to_array(std::span(tensors.bias))) {
  if (precision == Precision::kBFloat16 && torch::cpu_has_amx())
    packed_ = torch::PackedWeight::make(tensors.weight.data(), inputs_, outputs_);
  if (packed_) storage_ = Storage::kOneDnn;
  else panels_ = ops::pack_matrix(precision, tensors.weight.data(), outputs_, inputs_);
}

Linear Linear::compact(const LinearTensors& tensors) {
  Linear layer;
  layer.inputs_ = tensors.inputs;
  layer.outputs_ = tensors.outputs;
  layer.bias_ = to_array(std::span(tensors.bias));
  const size_t bytes = tensors.weight.size() * sizeof(uint16_t);
  AlignedBytes half = allocate_aligned(bytes);
  const bool exact = ops::to_float16_exactly(tensors.weight, reinterpret_cast<uint16_t*>(half.get()));
  layer.storage_ = exact ? Storage::kFloat16 : Storage::kFloat32;
  layer.weight_ = exact ? to_array(std::move(half), bytes) : to_array(std::as_bytes(std::span(tensors.weight)));
  return layer;
}

ops::UnpackedWeight Linear::unpacked() const {
  const void* data = weight_.data();
  if (storage_ == Storage::kFloat16) return {outputs_, inputs_, nullptr, static_cast<const uint16_t*>(data)};
  return {outputs_, inputs_, static_cast<const float*>(data), nullptr};
}

size_t Linear::bytes() const {
  const auto weights = static_cast<size_t>(outputs_ * inputs_), biases = bias_.size_bytes();
  switch (storage_) {
    case Storage::kFloat32: return weights * sizeof(float) + biases;
    case Storage::kPanels: return panels_.bytes() + biases;
    default: return weights * sizeof(uint16_t) + biases;
  }
}

void Linear::operator()(HostContext& context, const float* x, int64_t rows, float* y, ops::Epilogue epilogue) const {
  (*this)(
      context, [&](int64_t row, float*) { return x + row * inputs_; }, rows, y, epilogue);
}

void Linear::operator()(HostContext& context, const ops::RowSource& x, int64_t rows, float* y, ops::Epilogue epilogue) const {
  epilogue.bias = bias();
  switch (storage_) {
    case Storage::kPanels: return ops::packed_matmul(context, panels_, x, rows, epilogue, y);
    case Storage::kOneDnn: return multiply_by_onednn(context, x, rows, y, epilogue);
    default: return ops::unpacked_matmul(context, unpacked(), x, rows, epilogue, y);
  }
}

void Linear::feed_forward(HostContext& context, const Linear& in, Activation activation, const Linear& out, const ops::RowSource& x,
                          int64_t rows, float* y) {
  const bool panels = in.storage_ == Storage::kPanels && out.storage_ == Storage::kPanels && !in.bias_.empty() && !out.bias_.empty();
  if (panels && in.panels_.precision != Precision::kInt8)
    return ops::packed_feed_forward(context, {in.panels_, in.bias()}, activation, {out.panels_, out.bias()}, x, rows, y);
  Arena::Scope scope(context.arena);
  const auto u = context.arena.take<float>(rows * in.outputs_);
  in(context, x, rows, u.data(), {.activation = activation});
  out(context, u.data(), rows, y, {.add = true});
}

// oneDNN's product cannot apply our epilogue, so a second pass over the stored result does.
void Linear::multiply_by_onednn(HostContext& context, const ops::RowSource& x, int64_t rows, float* y,
                                const ops::Epilogue& epilogue) const {
  Arena::Scope scope(context.arena);
  const auto rounded = context.arena.take<uint16_t>(rows * inputs_);
  const auto row_memory = context.arena.take<float>(rows * inputs_);
  const auto product = context.arena.take<float>(epilogue.add ? rows * outputs_ : 0);
  float* const out = epilogue.add ? product.data() : y;
  context.pool.split(rows, kSmallestRows, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row)
      ops::to_bfloat16(x(row, row_memory.data() + row * inputs_), inputs_, rounded.data() + row * inputs_);
    packed_->multiply(rounded.data() + begin * inputs_, end - begin, out + begin * outputs_);
    if (!bias_.empty()) ops::add_bias(out + begin * outputs_, end - begin, outputs_, bias());
  });
  if (epilogue.add) ops::add(context, y, product.data(), rows * outputs_);
  if (epilogue.activation) ops::activate(context, *epilogue.activation, y, rows * outputs_);
}

}  // namespace clip_es
