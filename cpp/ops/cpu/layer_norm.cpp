#include "ops/cpu/kernels.h"
#include "ops/ops.h"

namespace clip_es::ops {
namespace {

constexpr int64_t kSmallestRows = 64;  // for one thread

}  // namespace

void layer_norm_row(const float* x, int64_t width, const float* gamma, const float* beta, float* y) {
  kernels().layer_norm_row(x, width, kLayerNormEpsilon, gamma, beta, y);
}

void layer_norm(HostContext& context, const float* x, int64_t rows, int64_t width, const float* gamma, const float* beta, float* y) {
  const Kernels& k = kernels();
  context.pool.split(rows, kSmallestRows, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) k.layer_norm_row(x + row * width, width, kLayerNormEpsilon, gamma, beta, y + row * width);
  });
}

void normalise_rows(HostContext& context, const float* x, int64_t rows, int64_t width, float* x_hat, float* rstd) {
  const Kernels& k = kernels();
  context.pool.split(rows, kSmallestRows, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) rstd[row] = k.normalise_row(x + row * width, width, kLayerNormEpsilon, x_hat + row * width);
  });
}

}  // namespace clip_es::ops
