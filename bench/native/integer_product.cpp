#include "integer_product.h"

#include "torch/dispatch.h"
#include "torch/library.h"

using namespace clip_es::torch;

bool library_integer_product(int8_t* x, int64_t rows, int8_t* weight, int64_t outputs, int64_t inputs) {
  if (!is_loaded() || !has_dispatcher() || !aoti_torch_dtype_int8) return false;
  const int32_t type = aoti_torch_dtype_int8();
  const Tensor left = wrap_matrix(x, type, {rows, inputs}, {inputs, 1}), right = wrap_matrix(weight, type, {inputs, outputs}, {1, inputs});
  try {
    call_operator("aten::_int_mm", std::array{left.get(), right.get()});
    return true;
  } catch (const clip_es::Error&) {
    return false;
  }
}
