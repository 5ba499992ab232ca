#include "clip/linear.h"

#include <algorithm>
#include <cstring>

#include "core/error.h"
#include "ops/half.h"
#include "torch/matmul.h"

namespace clip_es::torch {
namespace {

constexpr int64_t kSmallestRows = 16;

AlignedBytes store(std::span<const float> values) {
  if (values.empty()) return {};
  AlignedBytes bytes = allocate_aligned(values.size_bytes());
  std::memcpy(bytes.get(), values.data(), values.size_bytes());
  return bytes;
}

uint16_t* halves(const AlignedBytes& bytes) { return reinterpret_cast<uint16_t*>(bytes.get()); }

}  // namespace

Linear::Linear(std::span<const float> weight, std::span<const float> bias, int64_t inputs, Precision precision)
    : inputs_(inputs), outputs_(static_cast<int64_t>(weight.size()) / inputs), bias_(store(bias)) {
  if (precision == Precision::kFloat32) weight_ = store(weight);
  else pack(precision, weight);
}

Linear Linear::compact(std::span<const float> weight, std::span<const float> bias, int64_t inputs) {
  AlignedBytes half = allocate_aligned(weight.size() * sizeof(uint16_t));
  if (!ops::to_float16_exactly(weight, halves(half))) return Linear(weight, bias, inputs, Precision::kFloat32);
  Linear layer;
  layer.inputs_ = inputs;
  layer.outputs_ = static_cast<int64_t>(weight.size()) / inputs;
  layer.storage_ = Storage::kFloat16;
  layer.weight_ = std::move(half);
  layer.bias_ = store(bias);
  return layer;
}

Linear Linear::transposed(const Linear& layer, Precision precision) {
  Linear other;
  other.inputs_ = layer.outputs_;
  other.outputs_ = layer.inputs_;
  other.storage_ = Storage::kPacked;
  other.panels_ = ops::pack_transposed_matrix(precision, layer.weight(), other.outputs_, other.inputs_);
  return other;
}

void Linear::pack(Precision precision) {
  pack(precision, {weight(), static_cast<size_t>(outputs_ * inputs_)});
  weight_.reset();
}

void Linear::pack(Precision precision, std::span<const float> weight) {
  packed_ = precision == Precision::kBFloat16 ? PackedWeight::make(weight.data(), inputs_, outputs_) : nullptr;
  storage_ = packed_ ? Storage::kLibrary : Storage::kPacked;
  if (!packed_) panels_ = ops::pack_matrix(precision, weight.data(), outputs_, inputs_);
}

const float* Linear::weight() const {
  if (storage_ != Storage::kPlain) throw Error(ErrorCode::kLibTorch, "weight() of a layer that is not kept as it was read");
  return reinterpret_cast<const float*>(weight_.get());
}

size_t Linear::bytes() const {
  const auto weights = static_cast<size_t>(outputs_ * inputs_), biases = bias_ ? static_cast<size_t>(outputs_) * sizeof(float) : 0;
  switch (storage_) {
    case Storage::kPlain: return weights * sizeof(float) + biases;
    case Storage::kPacked: return panels_.bytes() + biases;
    default: return weights * sizeof(uint16_t) + biases;
  }
}

void Linear::operator()(HostContext& context, const float* x, int64_t rows, float* y, ops::Epilogue epilogue) const {
  if (storage_ == Storage::kPacked) {
    epilogue.bias = bias();
    return ops::packed_matmul(context, panels_, x, rows, epilogue, y);
  }
  const int64_t count = rows * outputs_;
  if (epilogue.add) {
    Arena::Scope scope(context.arena);
    const auto product = context.arena.take<float>(static_cast<size_t>(count));
    multiply(context, x, rows, product.data());
    return ops::add(context, y, product.data(), count);
  }
  multiply(context, x, rows, y);
  if (epilogue.activation) ops::activate(context, *epilogue.activation, y, count);
}

void Linear::operator()(HostContext& context, const ops::RowSource& x, int64_t rows, float* y, ops::Epilogue epilogue) const {
  if (storage_ == Storage::kPacked) {
    epilogue.bias = bias();
    return ops::packed_matmul(context, panels_, x, rows, epilogue, y);
  }
  Arena::Scope scope(context.arena);
  const auto made = context.arena.take<float>(static_cast<size_t>(rows * inputs_));
  context.pool.split(rows, kSmallestRows, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      float* to = made.data() + row * inputs_;
      if (const float* from = x(row, to); from != to) std::copy_n(from, inputs_, to);
    }
  });
  (*this)(context, made.data(), rows, y, epilogue);
}

void Linear::feed_forward(HostContext& context, const Linear& in, Activation activation, const Linear& out, const ops::RowSource& x,
                          int64_t rows, float* y) {
  const bool packed = in.storage_ == Storage::kPacked && out.storage_ == Storage::kPacked && in.bias_ && out.bias_;
  if (packed && in.panels_.precision != Precision::kInt8)
    return ops::packed_feed_forward(context, {in.panels_, in.bias()}, activation, {out.panels_, out.bias()}, x, rows, y);
  Arena::Scope scope(context.arena);
  const auto u = context.arena.take<float>(static_cast<size_t>(rows * in.outputs_));
  in(context, x, rows, u.data(), {.activation = activation});
  out(context, u.data(), rows, y, {.add = true});
}

void Linear::multiply(HostContext& context, const float* x, int64_t rows, float* y) const {
  if (storage_ == Storage::kFloat16) return multiply_compact(context, x, rows, y);
  if (storage_ == Storage::kLibrary) return multiply_by_library(context, x, rows, y);
  split_rows(context, rows, [&](int64_t begin, int64_t end) {
    linear(matrix(x + begin * inputs_, end - begin, inputs_), matrix(weight(), outputs_, inputs_), bias(), y + begin * outputs_);
  });
}

void Linear::multiply_compact(HostContext& context, const float* x, int64_t rows, float* y) const {
  Arena::Scope scope(context.arena);
  const auto wide = context.arena.take<float>(static_cast<size_t>(outputs_ * inputs_));
  context.pool.split(outputs_, kSmallestRows, [&](int64_t begin, int64_t end) {
    ops::from_float16(halves(weight_) + begin * inputs_, (end - begin) * inputs_, wide.data() + begin * inputs_);
  });
  split_rows(context, rows, [&](int64_t begin, int64_t end) {
    linear(matrix(x + begin * inputs_, end - begin, inputs_), matrix(wide.data(), outputs_, inputs_), bias(), y + begin * outputs_);
  });
}

void Linear::multiply_by_library(HostContext& context, const float* x, int64_t rows, float* y) const {
  Arena::Scope scope(context.arena);
  const auto in = context.arena.take<uint16_t>(static_cast<size_t>(rows * inputs_));
  split_rows(context, rows, [&](int64_t begin, int64_t end) {
    uint16_t* own = in.data() + begin * inputs_;
    ops::to_bfloat16(x + begin * inputs_, (end - begin) * inputs_, own);
    packed_->multiply(own, end - begin, y + begin * outputs_);
    if (bias_) ops::add_bias(y + begin * outputs_, end - begin, outputs_, bias());
  });
}

}  // namespace clip_es::torch
