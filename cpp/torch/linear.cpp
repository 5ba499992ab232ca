#include "torch/linear.h"

#include <cstring>

#include "core/half.h"
#include "torch/matmul.h"
#include "torch/table.h"

namespace clip_es::torch {
namespace {

constexpr int64_t kSmallestRows = 16;

AlignedBytes store(std::span<const float> values) {
  if (values.empty()) return {};
  AlignedBytes bytes = allocate_aligned(values.size_bytes());
  std::memcpy(bytes.get(), values.data(), values.size_bytes());
  return bytes;
}

AlignedBytes store_bfloat16(std::span<const float> values) {
  if (values.empty()) return {};
  AlignedBytes bytes = allocate_aligned(values.size() * sizeof(uint16_t));
  to_bfloat16(values.data(), static_cast<int64_t>(values.size()), reinterpret_cast<uint16_t*>(bytes.get()));
  return bytes;
}

uint16_t* halves(const AlignedBytes& bytes) { return reinterpret_cast<uint16_t*>(bytes.get()); }

}  // namespace

Linear::Linear(std::span<const float> weight, std::span<const float> bias, int64_t inputs, Precision precision)
    : inputs_(inputs), outputs_(static_cast<int64_t>(weight.size()) / inputs) {
  if (precision == Precision::kFloat32) {
    weight_ = store(weight);
    bias_ = store(bias);
    return;
  }
  storage_ = Storage::kBFloat16;
  weight_ = store_bfloat16(weight);
  bias_ = store_bfloat16(bias);
  packed_ = PackedWeight::make(halves(weight_), halves(bias_), inputs_, outputs_);
  if (!packed_) return;
  storage_ = Storage::kPackedBFloat16;
  weight_.reset();
}

Linear Linear::compact(std::span<const float> weight, std::span<const float> bias, int64_t inputs) {
  AlignedBytes half = allocate_aligned(weight.size() * sizeof(uint16_t));
  if (!to_float16_exactly(weight, halves(half))) return Linear(weight, bias, inputs, Precision::kFloat32);
  Linear layer;
  layer.inputs_ = inputs;
  layer.outputs_ = static_cast<int64_t>(weight.size()) / inputs;
  layer.storage_ = Storage::kFloat16;
  layer.weight_ = std::move(half);
  layer.bias_ = store(bias);
  return layer;
}

void Linear::pack() {
  if (storage_ != Storage::kFloat32) return;
  panels_ = ops::pack_matrix(weight(), outputs_, inputs_);
  if (!panels_.panels) return;
  storage_ = Storage::kPackedFloat32;
  weight_.reset();
}

const float* Linear::weight() const {
  if (storage_ != Storage::kFloat32) throw Error(ErrorCode::kLibTorch, "weight() of a layer that is not kept in float32");
  return reinterpret_cast<const float*>(weight_.get());
}

const float* Linear::bias() const {
  const bool bfloat16 = storage_ == Storage::kBFloat16 || storage_ == Storage::kPackedBFloat16;
  return !bfloat16 ? reinterpret_cast<const float*>(bias_.get()) : nullptr;
}

size_t Linear::bytes() const {
  const auto weights = static_cast<size_t>(outputs_ * inputs_), biases = bias_ ? static_cast<size_t>(outputs_) : 0;
  switch (storage_) {
    case Storage::kFloat32: return (weights + biases) * sizeof(float);
    case Storage::kPackedFloat32: return panels_.bytes() + biases * sizeof(float);
    case Storage::kFloat16: return weights * sizeof(uint16_t) + biases * sizeof(float);
    default: return (weights + biases) * sizeof(uint16_t);
  }
}

void Linear::operator()(Context& context, const float* x, int64_t rows, float* y) const {
  switch (storage_) {
    case Storage::kPackedFloat32: return ops::packed_matmul(context, panels_, x, rows, bias(), y);
    case Storage::kFloat16: return multiply_compact(context, x, rows, y);
    case Storage::kBFloat16:
    case Storage::kPackedBFloat16: return multiply_bfloat16(context, x, rows, y);
    case Storage::kFloat32: break;
  }
  split_rows(context, rows, [&](int64_t begin, int64_t end) {
    linear(matrix(x + begin * inputs_, end - begin, inputs_), matrix(weight(), outputs_, inputs_), bias(), y + begin * outputs_);
  });
}

void Linear::multiply_compact(Context& context, const float* x, int64_t rows, float* y) const {
  Arena::Scope scope(context.arena);
  const auto wide = context.arena.take<float>(static_cast<size_t>(outputs_ * inputs_));
  context.pool.split(outputs_, kSmallestRows, [&](int64_t begin, int64_t end) {
    from_float16(halves(weight_) + begin * inputs_, (end - begin) * inputs_, wide.data() + begin * inputs_);
  });
  split_rows(context, rows, [&](int64_t begin, int64_t end) {
    linear(matrix(x + begin * inputs_, end - begin, inputs_), matrix(wide.data(), outputs_, inputs_), bias(), y + begin * outputs_);
  });
}

void Linear::multiply_bfloat16(Context& context, const float* x, int64_t rows, float* y) const {
  Arena::Scope scope(context.arena);
  const auto in = context.arena.take<uint16_t>(static_cast<size_t>(rows * inputs_));
  const auto out = context.arena.take<uint16_t>(packed_ ? 0 : static_cast<size_t>(rows * outputs_));
  split_rows(context, rows, [&](int64_t begin, int64_t end) {
    uint16_t* own = in.data() + begin * inputs_;
    to_bfloat16(x + begin * inputs_, (end - begin) * inputs_, own);
    if (packed_) packed_->multiply(own, end - begin, y + begin * outputs_);
    else multiply_bfloat16_rows(own, end - begin, out.data() + begin * outputs_, y + begin * outputs_);
  });
}

void Linear::multiply_bfloat16_rows(uint16_t* x, int64_t rows, uint16_t* y_scratch, float* y) const {
  const int32_t dtype = aoti_torch_dtype_bfloat16();
  const Tensor in = wrap_matrix(x, dtype, {rows, inputs_}, {inputs_, 1});
  const Tensor out = wrap_matrix(y_scratch, dtype, {rows, outputs_}, {outputs_, 1});
  const Tensor weight_t = wrap_matrix(weight_.get(), dtype, {inputs_, outputs_}, {1, inputs_});
  if (bias_) {
    const Tensor b = wrap_matrix(bias_.get(), dtype, {1, outputs_}, {outputs_, 1});
    check(aoti_torch_cpu_addmm_out(out.get(), b.get(), in.get(), weight_t.get(), 1, 1), "aoti_torch_cpu_addmm_out");
  } else {
    check(aoti_torch_cpu_mm_out(out.get(), in.get(), weight_t.get()), "aoti_torch_cpu_mm_out");
  }
  from_bfloat16(y_scratch, rows * outputs_, y);
}

}  // namespace clip_es::torch
