#include "cam/attention_affinity.h"

#include <algorithm>
#include <limits>

#include "ops/matmul.h"

namespace clip_es {
namespace {

// A patch that no patch attends to gets the factor 0: the reciprocal of its sum would be infinite.
float reciprocal(float sum) { return sum > std::numeric_limits<float>::min() ? 1 / sum : 0; }

// Sinkhorn's rounds: each divides the columns, then the rows, by their sums. The result is diag(r) W diag(c), which is not stored.
void sinkhorn(HostContext& context, const MatrixView& w, int rounds, std::span<float> r, std::span<float> c) {
  std::fill(r.begin(), r.end(), 1.0f);
  std::fill(c.begin(), c.end(), 1.0f);
  for (int round = 0; round < rounds; ++round) {
    ops::matmul(context, transposed(w), matrix(r.data(), w.rows, 1), c.data());
    std::transform(c.begin(), c.end(), c.begin(), reciprocal);
    ops::matmul(context, w, matrix(c.data(), w.rows, 1), r.data());
    std::transform(r.begin(), r.end(), r.begin(), reciprocal);
  }
}

// to (N, K) = from (N, K), row i multiplied by factor[i].
void scale_rows(std::span<const float> from, std::span<const float> factor, int64_t columns, std::span<float> to) {
  const auto rows = std::ssize(factor);
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t k = 0; k < columns; ++k) to[i * columns + k] = from[i * columns + k] * factor[i];
}

}  // namespace

void refine_cams(HostContext& context, HostSpan<const float> attention, const HostMaps& cams, HostSpan<const uint8_t> boxes,
                 const AffinitySettings& settings, const HostMaps& refined) {
  const int64_t n = cams.grid.patches(), labels = cams.labels, size = cams.size();
  const MatrixView w = matrix(attention.data(), n, n);
  Arena::Scope scope(context.arena);
  const auto r = context.arena.take<float>(n), c = context.arena.take<float>(n);
  const auto x = context.arena.take<float>(size), scaled = context.arena.take<float>(size);
  const auto forward = context.arena.take<float>(size), backward = context.arena.take<float>(size);
  sinkhorn(context, w, settings.sinkhorn_rounds, r, c);
  for (int64_t i = 0; i < n; ++i)
    for (int64_t k = 0; k < labels; ++k) x[i * labels + k] = boxes[k * n + i] ? cams.data[k * n + i] : 0;
  for (int power = 0; power < 2; ++power) {  // x = T x, where T = (diag(r) W diag(c) + its transpose) / 2
    context.checkpoint();
    scale_rows(x, c, labels, scaled);
    ops::matmul(context, w, matrix(scaled.data(), n, labels), forward.data());
    scale_rows(x, r, labels, scaled);
    ops::matmul(context, transposed(w), matrix(scaled.data(), n, labels), backward.data());
    for (int64_t i = 0; i < n; ++i)
      for (int64_t k = i * labels; k < (i + 1) * labels; ++k) x[k] = (r[i] * forward[k] + c[i] * backward[k]) / 2;
  }
  for (int64_t i = 0; i < n; ++i)
    for (int64_t k = 0; k < labels; ++k) refined.data[k * n + i] = x[i * labels + k];
}

}  // namespace clip_es
