// P = softmax(scale q k^T) (n x n), o = P v, and dO given for the patches i >= 1. With delta_i = dO_i . o_i:
//   dv_j = sum_i P_ij dO_i           summed over patches j >= 1:  sum_i (1 - P_i0) dO_i
//   dS_ij = P_ij (dO_i . v_j - delta_i)
//   dk_j = scale sum_i dS_ij q_i     summed over patches j >= 1:  minus the class token's, as every row of dS sums to zero
//   dq_i = scale sum_j dS_ij k_j     summed over patches i >= 1:  scale sum_j (column sum of dS)_j k_j,
// and the column sums follow from P^T [dO | delta], so that the matrix P is made block by block and forgotten.
#include <algorithm>
#include <cmath>

#include "ops/attention.h"
#include "ops/cpu/simd.h"
#include "torch/matmul.h"

namespace clip_es::ops {
namespace {

constexpr int64_t kBlock = 64;

float dot(const float* a, const float* b, int64_t count) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < count; ++i) sum += a[i] * b[i];
  return sum;
}

CLIP_ES_MULTIVERSION void exp_minus(float* x, int64_t count, float scale, float shift) {
  for (int64_t i = 0; i < count; ++i) x[i] = fast_exp(x[i] * scale - shift);
}

// One head's share of the work; a thread owns one at a time.
struct Head {
  const AttentionInput& in;
  int64_t n, classes, head, size;
  const float *out, *log_sum_exp, *out_gradient;

  const float* row(int64_t part, int64_t token) const { return in.qkv + token * 3 * in.width + part * in.width + head * size; }
  torch::MatrixView rows(int64_t part, int64_t token, int64_t count) const { return {row(part, token), count, size, 3 * in.width, 1}; }
  const float* gradient(int64_t k, int64_t token) const { return out_gradient + (k * (n - 1) + token - 1) * in.width + head * size; }
  int64_t columns() const { return classes * (size + 1); }  // of [dO | delta], all classes side by side

  // One patch's row of [dO | delta], and its share of the sums of dv and dk.
  void gather(int64_t token, float* packed, float* qkv_gradient) const {
    const float scale = in.scale();
    const float to_class_token = std::exp(scale * dot(row(0, token), row(1, 0), size) - log_sum_exp[head * n + token]);
    for (int64_t k = 0; k < classes; ++k) {
      const float* d = gradient(k, token);
      float* to = packed + k * (size + 1);
      std::copy_n(d, size, to);
      const float delta = to[size] = dot(d, out + token * in.width + head * size, size);
      const float dk = -scale * to_class_token * (dot(d, row(2, 0), size) - delta);
      float* sums = qkv_gradient + k * 3 * in.width + head * size;
      for (int64_t c = 0; c < size; ++c) {
        sums[in.width + c] += dk * row(0, token)[c];
        sums[2 * in.width + c] += (1 - to_class_token) * d[c];
      }
    }
  }

  // scores (kBlock, n), packed (kBlock, columns), product (n, columns) = P^T [dO | delta]: scratch.
  void run(float* scores, float* packed, float* product, float* qkv_gradient) const {
    std::fill_n(product, n * columns(), 0.0f);
    for (int64_t first = 1; first < n; first += kBlock) {
      const int64_t count = std::min(kBlock, n - first);
      torch::matmul(rows(0, first, count), torch::transposed(rows(1, 0, n)), scores, n);
      for (int64_t r = 0; r < count; ++r) {
        exp_minus(scores + r * n, n, in.scale(), log_sum_exp[head * n + first + r]);
        gather(first + r, packed + r * columns(), qkv_gradient);
      }
      torch::matmul_add(torch::transposed(torch::matrix(scores, count, n)), torch::matrix(packed, count, columns()), product);
    }
    for (int64_t k = 0; k < classes; ++k) {
      float* dq = qkv_gradient + k * 3 * in.width + head * size;
      for (int64_t j = 0; j < n; ++j) {
        const float* p = product + j * columns() + k * (size + 1);
        const float column_sum = in.scale() * (dot(p, row(2, j), size) - p[size]);
        for (int64_t c = 0; c < size; ++c) dq[c] += column_sum * row(1, j)[c];
      }
    }
  }
};

}  // namespace

void attention_gradient_sums(Context& context, const AttentionInput& in, int64_t n, const float* out, const float* log_sum_exp,
                             const float* out_gradient, int64_t classes, float* qkv_gradient) {
  const int64_t size = in.width / in.heads, columns = classes * (size + 1), workers = context.pool.size();
  Arena::Scope scope(context.arena);
  const auto scores = context.arena.take<float>(static_cast<size_t>(workers * kBlock * n));
  const auto packed = context.arena.take<float>(static_cast<size_t>(workers * kBlock * columns));
  const auto product = context.arena.take<float>(static_cast<size_t>(workers * n * columns));
  std::fill_n(qkv_gradient, classes * 3 * in.width, 0.0f);
  context.pool.run(in.heads, [&](int64_t head, int worker) {
    const Head job{in, n, classes, head, size, out, log_sum_exp, out_gradient};
    job.run(scores.data() + worker * kBlock * n, packed.data() + worker * kBlock * columns, product.data() + worker * n * columns,
            qkv_gradient);
  });
}

}  // namespace clip_es::ops
