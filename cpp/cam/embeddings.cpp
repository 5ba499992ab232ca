#include "cam/embeddings.h"

#include <algorithm>
#include <cmath>

#include "ops/matmul.h"

namespace clip_es {

void throw_no_embedding() {
  throw Error(ErrorCode::kModelFormat, "the image tower gives no finite embedding: its weights overflow, or are zero");
}

void image_embedding(const Model& model, const LastBlock& last, std::span<double> f) {
  const int64_t width = model.image.width, size = model.shape.embedding;
  std::fill(f.begin(), f.end(), 0.0);
  for (int64_t c = 0; c < width; ++c)
    for (int64_t e = 0; e < size; ++e)
      f[static_cast<size_t>(e)] +=
          static_cast<double>(last.pooled[static_cast<size_t>(c)]) * model.image_projection[static_cast<size_t>(c * size + e)];
  double squares = 0;
  for (const double value : f) squares += value * value;
  const double norm = std::sqrt(squares);
  if (!std::isfinite(norm) || norm == 0) throw_no_embedding();
  for (double& value : f) value /= norm;
}

void patch_embeddings(HostContext& context, const Model& model, const LastBlock& last, float* patches) {
  const int64_t count = last.n - 1, width = model.image.width, size = model.shape.embedding;
  Arena::Scope scope(context.arena);
  const auto z = context.arena.take<float>(static_cast<size_t>(count * width));
  for (int64_t i = 0; i < count * width; ++i) {
    const auto channel = static_cast<size_t>(i % width);
    z[static_cast<size_t>(i)] = last.z_hat[static_cast<size_t>(i)] * model.ln_post.gamma[channel] + model.ln_post.beta[channel];
  }
  ops::matmul(context, matrix(z.data(), count, width), matrix(model.image_projection.data(), width, size), patches);
  for (int64_t i = 0; i < count; ++i) {
    float* row = patches + i * size;
    double squares = 0;
    for (int64_t e = 0; e < size; ++e) squares += static_cast<double>(row[e]) * row[e];
    const double norm = squares > 0 ? std::sqrt(squares) : 1;
    for (int64_t e = 0; e < size; ++e) row[e] = static_cast<float>(row[e] / norm);
  }
}

}  // namespace clip_es
