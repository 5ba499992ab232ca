// The closed form. Letters: N patches, D width, t_c the texts, f the pooled and projected image embedding, p the softmax.
//
//  1. dp_k/df = p_k sum_c p_c (t_k - t_c), made orthogonal to f. Written over c != k with the softmax of those alone: t_k - sum_c p_c t_c
//     would cancel to nothing once p_k nears 1. The positive factor p_k (1 - p_k) scale / N is left out, min-max removes it.
//  2. Through pooling and projection all patches get the same dz. Through ln_post: dx2 = rstd (a - z_hat b), a one vector per class and b
//     one number per class and patch.
//  3. MLP: e = act'(u) * (W2^T a - b W2^T z_hat); W2^T z_hat (omega) is shared by all classes.
//  4. Through W1, ln_2 and out_proj at once, by the composite matrix: the gradient dO of attention's output.
//  5. Attention: see attention_gradient.cpp. Only sums over patches are wanted, as GradCAM's channel weights are a mean.
#include "cam/softmax_gradcam.h"

#include <algorithm>
#include <cmath>

#include "cam/embeddings.h"
#include "ops/gradcam.h"
#include "ops/matmul.h"

namespace clip_es {
namespace {

constexpr size_t kGradientBytes = size_t{24} << 20;  // classes whose dO (N, D) fit in here share products; more take turns

double dot(const double* a, const double* b, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += a[i] * b[i];
  return sum;
}

// The softmax of logits, leaving out one of them (or none: -1).
void softmax_without(std::span<const double> logits, int64_t left_out, std::span<double> p) {
  double largest = -INFINITY, sum = 0;
  for (size_t c = 0; c < logits.size(); ++c)
    if (static_cast<int64_t>(c) != left_out) largest = std::max(largest, logits[c]);
  for (size_t c = 0; c < logits.size(); ++c) sum += p[c] = static_cast<int64_t>(c) == left_out ? 0 : std::exp(logits[c] - largest);
  for (double& value : p) value /= sum;
}

// Steps 1 and 2: dz (R, D) of every row of texts, and the logits and probabilities on the way.
void score_gradients(HostContext& context, const Model& model, const LastBlock& last, const LabelTexts& texts, float* logits,
                     float* probabilities, double* dz) {
  const int64_t size = model.shape.embedding, width = model.image.width;
  auto take = [&](size_t values) { return context.arena.take<double>(values); };
  Arena::Scope scope(context.arena);
  const std::span<double> all = competing_texts(context.arena, texts, size);
  const auto count = all.size() / static_cast<size_t>(size);
  const auto f = take(static_cast<size_t>(size)), others = take(f.size()), d = take(f.size()), logit = take(count), p = take(count);
  image_embedding(model, last, f);
  for (size_t c = 0; c < count; ++c) logit[c] = model.logit_scale * dot(&all[c * static_cast<size_t>(size)], f.data(), size);
  softmax_without(logit, -1, p);
  std::copy(logit.begin(), logit.end(), logits);
  std::copy(p.begin(), p.end(), probabilities);
  for (int64_t k = 0; k < texts.labels(); ++k) {
    softmax_without(logit, k, p);
    std::fill(others.begin(), others.end(), 0.0);
    for (size_t c = 0; c < count; ++c)
      for (size_t e = 0; e < others.size(); ++e) others[e] += p[c] * all[c * others.size() + e];
    for (int64_t row = texts.first_row[static_cast<size_t>(k)]; row < texts.first_row[static_cast<size_t>(k + 1)]; ++row) {
      for (size_t e = 0; e < d.size(); ++e) d[e] = texts.rows[static_cast<size_t>(row) * d.size() + e] - others[e];
      const double along = dot(d.data(), f.data(), size);
      for (size_t e = 0; e < d.size(); ++e) d[e] -= along * f[e];
      for (int64_t c = 0; c < width; ++c) {
        double sum = 0;
        for (int64_t e = 0; e < size; ++e) sum += model.image_projection[static_cast<size_t>(c * size + e)] * d[static_cast<size_t>(e)];
        *dz++ = sum * model.ln_post.gamma[static_cast<size_t>(c)];
      }
    }
  }
}

// Steps 2 to 5 for some rows of dz (rows, D) -> cams (rows, N), not normalised.
void explain(HostContext& context, const Model& model, const GradCamWeights& weights, const LastBlock& last, std::span<const double> dz,
             float* cams) {
  const int64_t width = model.image.width, hidden = model.image_blocks.back().c_fc.outputs(), patches = last.n - 1,
                rows = static_cast<int64_t>(dz.size()) / width;
  auto take = [&](int64_t r, int64_t c) { return context.arena.take<float>(static_cast<size_t>(r * c)); };
  Arena::Scope scope(context.arena);
  const auto a = take(rows, width), scaled_dz = take(rows, width), b = take(rows, patches), alpha = take(rows, hidden),
             a_out = take(rows, width);
  for (int64_t row = 0; row < rows; ++row) {
    double mean = 0;
    for (int64_t c = 0; c < width; ++c) mean += dz[static_cast<size_t>(row * width + c)] / static_cast<double>(width);
    for (int64_t c = 0; c < width; ++c) {
      const auto i = static_cast<size_t>(row * width + c);
      a[i] = static_cast<float>(dz[i] - mean);
      scaled_dz[i] = static_cast<float>(dz[i] / static_cast<double>(width));
    }
  }
  ops::matmul(context, matrix(scaled_dz.data(), rows, width), transposed(matrix(last.z_hat.data(), patches, width)), b.data());
  ops::packed_matmul(context, weights.c_proj_back, a.data(), rows, {}, alpha.data());
  ops::packed_matmul(context, weights.out_proj_back, a.data(), rows, {}, a_out.data());

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
                     .composite = &weights.packed_composite,
                     .fc_gamma = weights.fc_gamma.data(),
                     .fc_offset = weights.fc_offset.data(),
                     .out_proj_column_sums = weights.out_proj_column_sums.data()},
                    out_gradient.data());
  ops::attention_gradient_sums(context, {last.qkv.data(), width, model.image.heads, model.image.attention}, last.n, last.attended.data(),
                               last.log_sum_exp.data(), out_gradient.data(), rows, qkv_gradient.data());
  ops::packed_matmul(context, weights.in_proj_back, qkv_gradient.data(), rows, {}, channels.data());
  ops::matmul(context, matrix(channels.data(), rows, width), transposed(matrix(last.y.data() + width, patches, width)), cams);
}

// Negative evidence is dropped, then min-max, twice as released: the second removes what the first's 1e-7 leaves.
void normalise_cam(float* cam, int64_t patches) {
  for (int64_t i = 0; i < patches; ++i) cam[i] = std::max(cam[i], 0.0f);
  ops::min_max(cam, patches);
  ops::min_max(cam, patches);
}

}  // namespace

std::span<double> competing_texts(Arena& arena, const LabelTexts& texts, int64_t size) {
  if (texts.labels() == 1 && texts.background.empty())
    throw Error(ErrorCode::kInvalidArg,
                "one label and no background: a softmax over one text is always 1 and says nothing; give background words or more labels");
  const auto all = arena.take<double>(static_cast<size_t>(texts.labels() * size) + texts.background.size());
  auto next = all.begin();
  for (int64_t k = 0; k < texts.labels(); ++k) {
    const int64_t first = texts.first_row[static_cast<size_t>(k)], last = texts.first_row[static_cast<size_t>(k + 1)];
    for (int64_t e = 0; e < size; ++e) {
      double sum = 0;
      for (int64_t row = first; row < last; ++row) sum += texts.rows[static_cast<size_t>(row * size + e)];
      *next++ = sum / static_cast<double>(last - first);
    }
  }
  std::copy(texts.background.begin(), texts.background.end(), next);
  return all;
}

void softmax_gradcam(HostContext& context, const Model& model, const GradCamWeights& weights, const LastBlock& last,
                     const LabelTexts& texts, float* logits, float* probabilities, float* cams) {
  const int64_t patches = last.n - 1, width = model.image.width, rows = static_cast<int64_t>(texts.rows.size()) / model.shape.embedding;
  const int64_t group = std::max<int64_t>(static_cast<int64_t>(kGradientBytes / sizeof(float)) / (patches * width), 1);
  Arena::Scope scope(context.arena);
  const auto dz = context.arena.take<double>(static_cast<size_t>(rows * width));
  score_gradients(context, model, last, texts, logits, probabilities, dz.data());
  const auto row_cams = context.arena.take<float>(static_cast<size_t>(rows * patches));
  for (int64_t first = 0; first < rows; first += group) {
    context.checkpoint();
    const int64_t count = std::min(group, rows - first);
    explain(context, model, weights, last, dz.subspan(static_cast<size_t>(first * width), static_cast<size_t>(count * width)),
            row_cams.data() + first * patches);
  }
  for (int64_t k = 0; k < texts.labels(); ++k) {
    const int64_t first = texts.first_row[static_cast<size_t>(k)], end = texts.first_row[static_cast<size_t>(k + 1)];
    float* cam = cams + k * patches;
    for (int64_t row = first; row < end; ++row) normalise_cam(row_cams.data() + row * patches, patches);
    std::copy_n(row_cams.data() + first * patches, patches, cam);
    for (int64_t row = first + 1; row < end; ++row) ops::add(context, cam, row_cams.data() + row * patches, patches);
    if (end - first > 1) normalise_cam(cam, patches);
  }
}

}  // namespace clip_es
