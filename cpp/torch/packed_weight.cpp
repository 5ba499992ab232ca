#include "torch/packed_weight.h"

#include <cmath>
#include <cstring>
#include <vector>

#include "ops/half.h"
#include "torch/dispatch.h"
#include "torch/library.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <cpuid.h>
#endif

namespace clip_es::torch {
namespace {

// Packs weight (outputs, inputs), whose type must be one that oneDNN packs on this CPU. The optional second argument, the number of rows to
// optimise for, is left empty.
Tensor pack(TensorHandle weight) { return call_operator("mkldnn::_reorder_linear_weight", std::array{weight}, 1); }

// Returns x packed^T.
Tensor multiply_packed(TensorHandle x, TensorHandle packed) {
  const char* algorithm = "";
  TensorHandle result = nullptr;
  check(aoti_torch_cpu__linear_pointwise(x, packed, nullptr, "none", nullptr, 0, &algorithm, &result), "mkldnn::_linear_pointwise");
  return Tensor(result);
}

const void* data_of(const Tensor& tensor) {
  void* data = nullptr;
  check(aoti_torch_get_data_ptr(tensor.get(), &data), "aoti_torch_get_data_ptr");
  return data;
}

// The sizes are odd. bfloat16 represents the values exactly, so both types give the same sums before the result is rounded.
bool try_product(Dtype type) {
  constexpr int64_t rows = 5, inputs = 37, outputs = 19;
  auto value = [](int64_t i) { return static_cast<float>((i * 7919 + 3) % 31 - 15) / 8; };
  std::vector<float> x, weight;
  for (int64_t i = 0; i < rows * inputs; ++i) x.push_back(value(i));
  for (int64_t i = 0; i < outputs * inputs; ++i) weight.push_back(value(i + 5));
  const bool half = type == Dtype::kBFloat16;
  std::vector<uint16_t> halves(x.size() + weight.size());
  uint16_t *half_x = halves.data(), *half_weight = half_x + x.size();
  ops::to_bfloat16(x.data(), rows * inputs, half_x);
  ops::to_bfloat16(weight.data(), outputs * inputs, half_weight);
  auto wrap = [&](std::vector<float>& floats, uint16_t* values, int64_t r, int64_t c) {
    void* data = half ? static_cast<void*>(values) : floats.data();
    return wrap_matrix(data, half ? aoti_torch_dtype_bfloat16() : aoti_torch_dtype_float32(), {r, c}, {c, 1});
  };
  const Tensor packed = pack(wrap(weight, half_weight, outputs, inputs).get());
  const Tensor result = multiply_packed(wrap(x, half_x, rows, inputs).get(), packed.get());
  std::vector<float> got(static_cast<size_t>(rows * outputs));
  if (half) ops::from_bfloat16(static_cast<const uint16_t*>(data_of(result)), rows * outputs, got.data());
  else std::memcpy(got.data(), data_of(result), got.size() * sizeof(float));
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t o = 0; o < outputs; ++o) {
      double sum = 0;
      for (int64_t i = 0; i < inputs; ++i) sum += x[r * inputs + i] * weight[o * inputs + i];
      const double tolerance = half ? 0.01 * (std::abs(sum) + 1) : 1e-4;
      if (!(std::abs(got[r * outputs + o] - sum) <= tolerance)) return false;
    }
  return true;
}

}  // namespace

bool cpu_has_amx() {
#if defined(__x86_64__) && defined(__GNUC__)
  // Leaf 7, EDX bit 22 is AMX-BF16. oneDNN asks the operating system for permission to use the tiles.
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d >> 22 & 1);
#else
  return false;
#endif
}

bool packed_product_works(Dtype type) {
  if (!is_loaded() || !has_dispatcher() || !aoti_torch_cpu__linear_pointwise) return false;
  try {
    return try_product(type);
  } catch (const Error&) {
    return false;  // the CPU lacks the instructions, or this LibTorch lacks an operator
  }
}

struct PackedWeight::Handles {
  Tensor weight;
  int64_t inputs, outputs;
};

PackedWeight::PackedWeight(std::unique_ptr<Handles> handles) : handles_(std::move(handles)) {}
PackedWeight::~PackedWeight() = default;

std::unique_ptr<PackedWeight> PackedWeight::make(const float* weight, int64_t inputs, int64_t outputs) {
  if (!is_loaded()) return nullptr;
  static const bool works = packed_product_works(Dtype::kBFloat16);
  if (!works) return nullptr;
  std::vector<uint16_t> rounded(static_cast<size_t>(outputs * inputs));
  ops::to_bfloat16(weight, outputs * inputs, rounded.data());
  Tensor packed = pack(wrap_matrix(rounded.data(), aoti_torch_dtype_bfloat16(), {outputs, inputs}, {inputs, 1}).get());
  return std::unique_ptr<PackedWeight>(new PackedWeight(std::unique_ptr<Handles>(new Handles{std::move(packed), inputs, outputs})));
}

void PackedWeight::multiply(uint16_t* x, int64_t rows, float* y) const {
  const Tensor in = wrap_matrix(x, aoti_torch_dtype_bfloat16(), {rows, handles_->inputs}, {handles_->inputs, 1});
  const Tensor out = multiply_packed(in.get(), handles_->weight.get());
  ops::from_bfloat16(static_cast<const uint16_t*>(data_of(out)), rows * handles_->outputs, y);
}

}  // namespace clip_es::torch
