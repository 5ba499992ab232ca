#include "torch/packed_weight.h"

#include <cmath>
#include <cstring>
#include <vector>

#include "ops/half.h"
#include "torch/dispatch.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <cpuid.h>
#endif

namespace clip_es::torch {
namespace {

// (outputs, inputs) in any type that oneDNN packs on this processor. A number of rows to tune for is left at none.
Tensor pack(AtenTensorHandle weight) { return call_operator("mkldnn::_reorder_linear_weight", std::array{weight}, 1); }

// x packed^T
Tensor multiply_packed(AtenTensorHandle x, AtenTensorHandle packed) {
  const char* algorithm = "";
  AtenTensorHandle result = nullptr;
  check(aoti_torch_cpu__linear_pointwise(x, packed, nullptr, "none", nullptr, 0, &algorithm, &result), "mkldnn::_linear_pointwise");
  return Tensor(result);
}

const void* data_of(const Tensor& tensor) {
  void* data = nullptr;
  check(aoti_torch_get_data_ptr(tensor.get(), &data), "aoti_torch_get_data_ptr");
  return data;
}

// Odd sizes, and values that bfloat16 holds exactly, so that float32 and bfloat16 give the same sums but for the result's rounding.
bool try_product(char type) {
  constexpr int64_t rows = 5, inputs = 37, outputs = 19;
  auto value = [](int64_t i) { return static_cast<float>((i * 7919 + 3) % 31 - 15) / 8; };
  std::vector<float> x, weight;
  for (int64_t i = 0; i < rows * inputs; ++i) x.push_back(value(i));
  for (int64_t i = 0; i < outputs * inputs; ++i) weight.push_back(value(i + 5));
  const bool half = type == 'b';
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
      for (int64_t i = 0; i < inputs; ++i) sum += x[static_cast<size_t>(r * inputs + i)] * weight[static_cast<size_t>(o * inputs + i)];
      const double tolerance = half ? 0.01 * (std::abs(sum) + 1) : 1e-4;
      if (!(std::abs(got[static_cast<size_t>(r * outputs + o)] - sum) <= tolerance)) return false;
    }
  return true;
}

// That the processor has tiles of bfloat16; oneDNN asks the system for their use. Not all compilers know this feature by name.
bool has_amx() {
#if defined(__x86_64__) && defined(__GNUC__)
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d >> 22 & 1);
#else
  return false;
#endif
}

}  // namespace

bool packed_product_is_right(char type) {
  if (!has_dispatcher() || !aoti_torch_cpu__linear_pointwise) return false;
  try {
    return try_product(type);
  } catch (const Error&) {
    return false;  // the processor has no such instructions, or this LibTorch no such operator
  }
}

struct PackedWeight::Handles {
  Tensor weight;
  int64_t inputs, outputs;
};

PackedWeight::PackedWeight(std::unique_ptr<Handles> handles) : handles_(std::move(handles)) {}
PackedWeight::~PackedWeight() = default;

std::unique_ptr<PackedWeight> PackedWeight::make(const float* weight, int64_t inputs, int64_t outputs, bool anywhere) {
  if (!anywhere && !has_amx()) return nullptr;
  static const bool usable = packed_product_is_right('b');
  if (!usable) return nullptr;
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
