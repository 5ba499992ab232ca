// LibTorch's product of 8-bit integers, aten::_int_mm. The engine multiplies them itself: the benches compare with this one.
#pragma once
#include <cstdint>

namespace clip_es::torch {

// x (rows, inputs) weight^T (inputs, outputs), made and forgotten. False where this LibTorch has no such product.
bool integer_matmul(int8_t* x, int64_t rows, int8_t* weight, int64_t outputs, int64_t inputs);

}  // namespace clip_es::torch
