#include "torch/linear.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "torch/matmul.h"
#include "torch/table.h"

namespace clip_es::torch {
namespace {

constexpr int64_t kSmallestRows = 16;

// Round to nearest, ties to even. NaN never comes here: weights are checked at load, activations are finite.
uint16_t to_bfloat16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
float from_bfloat16(uint16_t value) { return std::bit_cast<float>(static_cast<uint32_t>(value) << 16); }

void convert(const float* from, int64_t count, uint16_t* to) {
  for (int64_t i = 0; i < count; ++i) to[i] = to_bfloat16(from[i]);
}
void convert(const uint16_t* from, int64_t count, float* to) {
  for (int64_t i = 0; i < count; ++i) to[i] = from_bfloat16(from[i]);
}

AlignedBytes store(std::span<const float> values, Precision precision) {
  if (values.empty()) return {};
  if (precision == Precision::kFloat32) {
    AlignedBytes bytes = allocate_aligned(values.size_bytes());
    std::memcpy(bytes.get(), values.data(), values.size_bytes());
    return bytes;
  }
  AlignedBytes bytes = allocate_aligned(values.size() * sizeof(uint16_t));
  convert(values.data(), static_cast<int64_t>(values.size()), reinterpret_cast<uint16_t*>(bytes.get()));
  return bytes;
}

}  // namespace

Linear::Linear(std::span<const float> weight, std::span<const float> bias, int64_t inputs, Precision precision)
    : inputs_(inputs),
      outputs_(static_cast<int64_t>(weight.size()) / inputs),
      precision_(precision),
      weight_(store(weight, precision)),
      bias_(store(bias, precision)) {}

const float* Linear::weight() const {
  if (precision_ != Precision::kFloat32) throw Error(ErrorCode::kLibTorch, "weight() of a layer that is not float32");
  return reinterpret_cast<const float*>(weight_.get());
}

const float* Linear::bias() const { return precision_ == Precision::kFloat32 ? reinterpret_cast<const float*>(bias_.get()) : nullptr; }

size_t Linear::bytes() const {
  const auto values = static_cast<size_t>(outputs_ * (inputs_ + (bias_ ? 1 : 0)));
  return values * (precision_ == Precision::kFloat32 ? sizeof(float) : sizeof(uint16_t));
}

void Linear::operator()(Context& context, const float* x, int64_t rows, float* y) const {
  if (precision_ == Precision::kFloat32) {
    context.pool.split(rows, kSmallestRows, [&](int64_t begin, int64_t end) {
      linear(matrix(x + begin * inputs_, end - begin, inputs_), matrix(weight(), outputs_, inputs_), bias(), y + begin * outputs_);
    });
    return;
  }
  Arena::Scope scope(context.arena);
  const auto x_scratch = context.arena.take<uint16_t>(static_cast<size_t>(rows * inputs_));
  const auto y_scratch = context.arena.take<uint16_t>(static_cast<size_t>(rows * outputs_));
  context.pool.split(rows, kSmallestRows, [&](int64_t begin, int64_t end) {
    multiply_bfloat16(x + begin * inputs_, end - begin, x_scratch.data() + begin * inputs_, y_scratch.data() + begin * outputs_,
                      y + begin * outputs_);
  });
}

void Linear::multiply_bfloat16(const float* x, int64_t rows, uint16_t* x_scratch, uint16_t* y_scratch, float* y) const {
  const int32_t dtype = aoti_torch_dtype_bfloat16();
  convert(x, rows * inputs_, x_scratch);
  const Tensor in = wrap_matrix(x_scratch, dtype, {rows, inputs_}, {inputs_, 1});
  const Tensor out = wrap_matrix(y_scratch, dtype, {rows, outputs_}, {outputs_, 1});
  const Tensor weight_t = wrap_matrix(weight_.get(), dtype, {inputs_, outputs_}, {1, inputs_});
  if (bias_) {
    const Tensor b = wrap_matrix(bias_.get(), dtype, {1, outputs_}, {outputs_, 1});
    check(aoti_torch_cpu_addmm_out(out.get(), b.get(), in.get(), weight_t.get(), 1, 1), "aoti_torch_cpu_addmm_out");
  } else {
    check(aoti_torch_cpu_mm_out(out.get(), in.get(), weight_t.get()), "aoti_torch_cpu_mm_out");
  }
  convert(y_scratch, rows * outputs_, y);
}

}  // namespace clip_es::torch
