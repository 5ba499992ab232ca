// LibTorch's product of 8-bit integers, aten::_int_mm. The bench compares the engine's int8 product with it.
#pragma once
#include <cstdint>

// Computes x (rows, inputs) times weight^T (inputs, outputs) and discards the result. Returns false if this LibTorch has no such product.
bool library_integer_product(int8_t* x, int64_t rows, int8_t* weight, int64_t outputs, int64_t inputs);
