// The closed form. Letters: N patches, D width, t_c the texts, f the pooled and projected image embedding, p the softmax.
//
//  1. Score: dp_k/df = p_k sum_c p_c (t_k - t_c), made orthogonal to f. The sum runs over c != k and uses the softmax over the other texts:
//     t_k - sum_c p_c t_c over all texts would cancel when p_k is close to 1. The positive factor p_k (1 - p_k) scale / N is left out,
//     because min-max removes it.
//  2. Pooling and projection: the gradient dz is the same for all patches. ln_post: dx2 = rstd (a - z_hat b), with one vector a per class
//     and one number b per class and patch.
//  3. MLP: e = act'(u) * (W2^T a - b W2^T z_hat). All classes share W2^T z_hat (omega).
//  4. W1, ln_2 and out_proj in one product with the composite matrix: the gradient dO of attention's output.
//  5. Attention: see attention_gradient.cpp. Only sums over patches are computed, because GradCAM's channel weights are a mean.
#include "cam/softmax_gradcam.h"

#include <algorithm>
#include <cmath>

#include "cam/embeddings.h"
#include "ops/gradcam.h"
#include "ops/matmul.h"

namespace clip_es {
namespace {

// Classes share products if their dO (N, D) fit into this memory together. More classes are computed in groups.
constexpr size_t kGradientBytes = size_t{24} << 20;

double dot(const double* a, const double* b, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += a[i] * b[i];
  return sum;
}

// The softmax over all logits except one. excluded = -1 excludes none.
void softmax_without(std::span<const double> logits, int64_t excluded, std::span<double> p) {
  const auto count = std::ssize(logits);
  double largest = -INFINITY, sum = 0;
  for (int64_t c = 0; c < count; ++c)
    if (c != excluded) largest = std::max(largest, logits[c]);
  for (int64_t c = 0; c < count; ++c) sum += p[c] = c == excluded ? 0 : std::exp(logits[c] - largest);
  for (double& value : p) value /= sum;
}

// Steps 1 and 2: the logits and probabilities, and dz (R, D) of every row of texts.
void score_gradients(HostContext& context, const Model& model, const HostLastBlock& last, const LabelTexts& texts, HostSpan<float> logits,
                     HostSpan<float> probabilities, double* dz) {
  const int64_t size = model.shape.embedding, width = model.image.width;
  Arena::Scope scope(context.arena);
  const std::span<double> all = competing_texts(context.arena, texts, size);
  const int64_t count = std::ssize(all) / size;
  const auto take = [&](int64_t values) { return context.arena.take<double>(values); };
  const auto f = take(size), others = take(size), d = take(size), logit = take(count), p = take(count);
  image_embedding(model, last, f);
  for (int64_t c = 0; c < count; ++c) logit[c] = model.logit_scale * dot(&all[c * size], f.data(), size);
  softmax_without(logit, -1, p);
  std::ranges::copy(logit, logits.begin());
  std::ranges::copy(p, probabilities.begin());
  for (int64_t k = 0; k < texts.labels(); ++k) {
    softmax_without(logit, k, p);
    std::ranges::fill(others, 0.0);
    for (int64_t c = 0; c < count; ++c)
      for (int64_t e = 0; e < size; ++e) others[e] += p[c] * all[c * size + e];
    for (int64_t row = texts.first_row[k]; row < texts.first_row[k + 1]; ++row) {
      for (int64_t e = 0; e < size; ++e) d[e] = texts.rows[row * size + e] - others[e];
      const double along = dot(d.data(), f.data(), size);
      for (int64_t e = 0; e < size; ++e) d[e] -= along * f[e];
      for (int64_t c = 0; c < width; ++c) {
        double sum = 0;
        for (int64_t e = 0; e < size; ++e) sum += model.image_projection[c * size + e] * d[e];
        *dz++ = sum * model.ln_post.gamma[c];
      }
    }
  }
}

// a = dz minus its mean, and dz / D, of some rows (rows, D).
void centre_rows(std::span<const double> dz, int64_t width, std::span<float> a, std::span<float> scaled_dz) {
  const auto divisor = static_cast<double>(width);
  for (size_t first = 0; first < dz.size(); first += width) {
    double mean = 0;
    for (const double value : dz.subspan(first, width)) mean += value / divisor;
    for (size_t i = first; i < first + width; ++i) {
      a[i] = static_cast<float>(dz[i] - mean);
      scaled_dz[i] = static_cast<float>(dz[i] / divisor);
    }
  }
}

// Steps 2 to 5 for some rows of dz (rows, D) -> cams (rows, N), not normalised.
void backward(HostContext& context, const Model& model, const LastBlockWeights& weights, const HostLastBlock& last,
              std::span<const double> dz, float* cams) {
  const int64_t width = model.image.width, hidden = model.last_hidden, patches = last.patches(), rows = std::ssize(dz) / width;
  const auto take = [&](int64_t r, int64_t c) { return context.arena.take<float>(r * c); };
  Arena::Scope scope(context.arena);
  const auto a = take(rows, width), scaled_dz = take(rows, width), b = take(rows, patches), alpha = take(rows, hidden),
             a_out = take(rows, width);
  centre_rows(dz, width, a, scaled_dz);
  ops::matmul(context, matrix(scaled_dz.data(), rows, width), transposed(matrix(last.z_hat.data(), patches, width)), b.data());
  ops::packed_matmul(context, weights.c_proj_transposed, a.data(), rows, {}, alpha.data());
  ops::packed_matmul(context, weights.out_proj_transposed, a.data(), rows, {}, a_out.data());

  const auto out_gradient = take(rows * patches, width), qkv_gradient = take(rows, 3 * width), channels = take(rows, width);
  ops::mlp_gradient(context,
                    {.patches = patches,
                     .width = width,
                     .hidden = hidden,
                     .classes = rows,
                     .activation = model.image.activation,
                     .u = last.u.data(),
                     .omega = last.omega.data(),
                     .rstd_2 = last.rstd_2.data(),
                     .rstd_post = last.rstd_post.data(),
                     .h_hat_out = last.h_hat_out.data(),
                     .z_hat_out = last.z_hat_out.data(),
                     .alpha = alpha.data(),
                     .b = b.data(),
                     .a_out = a_out.data(),
                     .composite = &weights.composite,
                     .fc_gamma = weights.fc_gamma.data(),
                     .fc_offset = weights.fc_offset.data(),
                     .out_proj_column_sums = weights.out_proj_column_sums.data()},
                    out_gradient.data());
  ops::attention_gradient_sums(context, {last.qkv.data(), width, model.image.heads, weights.precision}, last.tokens, last.attended.data(),
                               last.log_sum_exp.data(), out_gradient.data(), rows, qkv_gradient.data());
  ops::packed_matmul(context, weights.in_proj_transposed, qkv_gradient.data(), rows, {}, channels.data());
  ops::matmul(context, matrix(channels.data(), rows, width), transposed(matrix(last.y.data() + width, patches, width)), cams);
}

// Sets negative values to 0, then applies min-max twice, as the released code does: the second pass removes the effect of the first pass's
// 1e-7.
void normalise_cam(float* cam, int64_t patches) {
  for (int64_t i = 0; i < patches; ++i) cam[i] = std::max(cam[i], 0.0f);
  ops::min_max(cam, patches);
  ops::min_max(cam, patches);
}

}  // namespace

std::span<double> competing_texts(Arena& arena, const LabelTexts& texts, int64_t size) {
  require_competition(texts);
  const auto all = arena.take<double>(texts.labels() * size + std::ssize(texts.background));
  auto next = all.begin();
  for (int64_t k = 0; k < texts.labels(); ++k) {
    const int64_t first = texts.first_row[k], last = texts.first_row[k + 1];
    for (int64_t e = 0; e < size; ++e) {
      double sum = 0;
      for (int64_t row = first; row < last; ++row) sum += texts.rows[row * size + e];
      *next++ = sum / (last - first);
    }
  }
  std::ranges::copy(texts.background, next);
  return all;
}

void softmax_gradcam(HostContext& context, const Model& model, const LastBlockWeights& weights, const HostLastBlock& last,
                     const LabelTexts& texts, HostSpan<float> logits, HostSpan<float> probabilities, const HostMaps& cams) {
  const int64_t patches = last.patches(), width = model.image.width, rows = std::ssize(texts.rows) / model.shape.embedding;
  const int64_t group = std::max<int64_t>(static_cast<int64_t>(kGradientBytes / sizeof(float)) / (patches * width), 1);
  Arena::Scope scope(context.arena);
  const auto dz = context.arena.take<double>(rows * width);
  score_gradients(context, model, last, texts, logits, probabilities, dz.data());
  const auto row_cams = context.arena.take<float>(rows * patches);
  for (int64_t first = 0; first < rows; first += group) {
    context.checkpoint();
    const int64_t count = std::min(group, rows - first);
    backward(context, model, weights, last, dz.subspan(first * width, count * width), row_cams.data() + first * patches);
  }
  for (int64_t k = 0; k < texts.labels(); ++k) {
    const int64_t first = texts.first_row[k], end = texts.first_row[k + 1];
    float* cam = cams.map(k).data();
    for (int64_t row = first; row < end; ++row) normalise_cam(row_cams.data() + row * patches, patches);
    std::copy_n(row_cams.data() + first * patches, patches, cam);
    for (int64_t row = first + 1; row < end; ++row) ops::add(context, cam, row_cams.data() + row * patches, patches);
    if (end - first > 1) normalise_cam(cam, patches);
  }
}

}  // namespace clip_es
