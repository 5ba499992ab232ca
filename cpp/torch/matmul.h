// Matrix products by LibTorch, on plain pointers. Rows are shared among the pool's threads.
#pragma once
#include <cstdint>

#include "core/context.h"
#include "core/matrix.h"

namespace clip_es::torch {

using clip_es::MatrixView;
using clip_es::matrix;
using clip_es::transposed;

// out (a.rows, b.columns), rows out_stride apart, = a b. On the calling thread.
void matmul(const MatrixView& a, const MatrixView& b, float* out, int64_t out_stride);
// Shares the rows of a product among the pool's threads: body(begin, end). Blocks begin where LibTorch's own tiles do, so that a row's
// digits do not depend on the number of threads.
void split_rows(HostContext&, int64_t rows, FunctionRef<void(int64_t begin, int64_t end)> body);
// out = a b, shared among the pool's threads by rows of a. out is contiguous.
void matmul(HostContext&, const MatrixView& a, const MatrixView& b, float* out);

// out (x.rows, weight.rows) = x weight^T + bias. bias may be null. On the calling thread.
void linear(const MatrixView& x, const MatrixView& weight, const float* bias, float* out);

}  // namespace clip_es::torch
