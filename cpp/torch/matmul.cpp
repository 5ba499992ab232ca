#include "torch/matmul.h"

#include <array>

#include "torch/table.h"

namespace clip_es::torch {
namespace {

constexpr int64_t kSmallestRows = 16;  // fewer rows than this to a thread cost more in calls than they gain
constexpr int64_t kTile = 16;          // a multiple of the rows that MKL computes at once

Tensor wrap(const float* data, std::array<int64_t, 2> sizes, std::array<int64_t, 2> strides) {
  return wrap_matrix(const_cast<float*>(data), aoti_torch_dtype_float32(), sizes, strides);
}
Tensor wrap(const MatrixView& m) { return wrap(m.data, {m.rows, m.columns}, {m.row_stride, m.column_stride}); }

// LibTorch resizes a result of the wrong shape in silence; the shapes are checked here instead.
void require_same(int64_t a, int64_t b) {
  if (a != b)
    throw Error(ErrorCode::kLibTorch, "inner dimensions of a matrix product differ: " + std::to_string(a) + " and " + std::to_string(b));
}

}  // namespace

void matmul(const MatrixView& a, const MatrixView& b, float* out, int64_t out_stride) {
  require_same(a.columns, b.rows);
  const Tensor result = wrap(out, {a.rows, b.columns}, {out_stride, 1});
  check(aoti_torch_cpu_mm_out(result.get(), wrap(a).get(), wrap(b).get()), "aoti_torch_cpu_mm_out");
}

void split_rows(HostContext& context, int64_t rows, FunctionRef<void(int64_t begin, int64_t end)> body) {
  context.pool.split(rows, kSmallestRows, body, kTile);
}

void matmul(HostContext& context, const MatrixView& a, const MatrixView& b, float* out) {
  split_rows(context, a.rows, [&](int64_t begin, int64_t end) {
    const MatrixView rows{a.data + begin * a.row_stride, end - begin, a.columns, a.row_stride, a.column_stride};
    matmul(rows, b, out + begin * b.columns, b.columns);
  });
}

void linear(const MatrixView& x, const MatrixView& weight, const float* bias, float* out) {
  if (!bias) return matmul(x, transposed(weight), out, weight.rows);
  require_same(x.columns, weight.columns);
  const Tensor result = wrap(out, {x.rows, weight.rows}, {weight.rows, 1});
  const Tensor b = wrap(bias, {1, weight.rows}, {weight.rows, 1});
  check(aoti_torch_cpu_addmm_out(result.get(), b.get(), wrap(x).get(), wrap(transposed(weight)).get(), 1, 1), "aoti_torch_cpu_addmm_out");
}

}  // namespace clip_es::torch
