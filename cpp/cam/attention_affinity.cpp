#include "cam/attention_affinity.h"

#include <algorithm>
#include <limits>

#include "ops/matmul.h"

namespace clip_es {
namespace {

// A patch that nothing attends to has no share in the affinity; its reciprocal would be infinite.
float reciprocal(float sum) { return sum > std::numeric_limits<float>::min() ? 1 / sum : 0; }

// Sinkhorn: columns, then rows, are divided by their sums. The matrix diag(r) W diag(c) is never formed.
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

// to (N, K) = from (N, K) with row i times factor[i].
void scale_rows(std::span<const float> from, std::span<const float> factor, int64_t columns, std::span<float> to) {
  for (size_t i = 0; i < from.size(); ++i) to[i] = from[i] * factor[i / static_cast<size_t>(columns)];
}

}  // namespace

void refine_cams(HostContext& context, const float* attention, int64_t patches, const float* cams, const uint8_t* boxes, int64_t labels,
                 const AffinitySettings& settings, float* refined) {
  const MatrixView w = matrix(attention, patches, patches);
  const auto n = static_cast<size_t>(patches), size = static_cast<size_t>(patches * labels), k = static_cast<size_t>(labels);
  Arena::Scope scope(context.arena);
  const auto r = context.arena.take<float>(n), c = context.arena.take<float>(n);
  const auto x = context.arena.take<float>(size), scaled = context.arena.take<float>(size);
  const auto forward = context.arena.take<float>(size), backward = context.arena.take<float>(size);
  sinkhorn(context, w, settings.sinkhorn_rounds, r, c);
  for (size_t i = 0; i < n; ++i)
    for (size_t label = 0; label < k; ++label) x[i * k + label] = boxes[label * n + i] ? cams[label * n + i] : 0;
  for (int power = 0; power < 2; ++power) {  // x = T x, T = (diag(r) W diag(c) + its transpose) / 2
    context.checkpoint();
    scale_rows(x, c, labels, scaled);
    ops::matmul(context, w, matrix(scaled.data(), patches, labels), forward.data());
    scale_rows(x, r, labels, scaled);
    ops::matmul(context, transposed(w), matrix(scaled.data(), patches, labels), backward.data());
    for (size_t i = 0; i < size; ++i) x[i] = (r[i / k] * forward[i] + c[i / k] * backward[i]) / 2;
  }
  for (size_t i = 0; i < n; ++i)
    for (size_t label = 0; label < k; ++label) refined[label * n + i] = x[i * k + label];
}

}  // namespace clip_es
