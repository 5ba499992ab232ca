#include "torch/integer_matmul.h"

#include "torch/dispatch.h"

namespace clip_es::torch {

bool integer_matmul(int8_t* x, int64_t rows, int8_t* weight, int64_t outputs, int64_t inputs) {
  if (!has_dispatcher() || !aoti_torch_dtype_int8) return false;
  const int32_t type = aoti_torch_dtype_int8();
  const Tensor left = wrap_matrix(x, type, {rows, inputs}, {inputs, 1}), right = wrap_matrix(weight, type, {inputs, outputs}, {1, inputs});
  try {
    call_operator("aten::_int_mm", std::array{left.get(), right.get()});
    return true;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace clip_es::torch
