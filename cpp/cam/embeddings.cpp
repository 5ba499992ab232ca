#include "cam/embeddings.h"

#include <algorithm>
#include <cmath>

#include "ops/matmul.h"

namespace clip_es {
namespace {

[[noreturn]] void throw_no_embedding() {
  throw Error(ErrorCode::kModelFormat,
              "the image tower gives no finite embedding: the model's weights overflow or are zero; use another copy of the model");
}

}  // namespace

void image_embedding(const Model& model, const HostLastBlock& last, std::span<double> f) {
  const int64_t width = model.image.width, size = model.shape.embedding;
  std::ranges::fill(f, 0.0);
  for (int64_t c = 0; c < width; ++c)
    for (int64_t e = 0; e < size; ++e) f[e] += static_cast<double>(last.pooled[c]) * model.image_projection[c * size + e];
  double squares = 0;
  for (const double value : f) squares += value * value;
  const double norm = std::sqrt(squares);
  if (!std::isfinite(norm) || norm == 0) throw_no_embedding();
  for (double& value : f) value /= norm;
}

void require_finite(std::span<const float> probabilities) {
  for (const float p : probabilities)
    if (!std::isfinite(p)) throw_no_embedding();
}

void project(HostContext& context, const Model& model, std::span<const float> z, std::span<float> rows) {
  const int64_t width = model.image.width, size = model.shape.embedding, count = std::ssize(z) / width;
  ops::matmul(context, matrix(z.data(), count, width), matrix(model.image_projection.data(), width, size), rows.data());
  for (int64_t i = 0; i < count; ++i) {
    const std::span<float> row = rows.subspan(i * size, size);
    double squares = 0;
    for (const float value : row) squares += static_cast<double>(value) * value;
    const double norm = squares > 0 ? std::sqrt(squares) : 1;
    for (float& value : row) value = static_cast<float>(value / norm);
  }
}

void patch_embeddings(HostContext& context, const Model& model, const HostLastBlock& last, std::span<float> patches) {
  const int64_t count = last.patches(), width = model.image.width;
  Arena::Scope scope(context.arena);
  const auto z = context.arena.take<float>(count * width);
  for (int64_t i = 0; i < count * width; ++i) z[i] = last.z_hat[i] * model.ln_post.gamma[i % width] + model.ln_post.beta[i % width];
  project(context, model, z, patches);
}

}  // namespace clip_es
