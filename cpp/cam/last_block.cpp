#include <algorithm>

#include "cam/softmax_gradcam.h"
#include "torch/matmul.h"

namespace clip_es {

GradCamWeights::GradCamWeights(Context& context, const Model& model) {
  const int64_t width = model.image.width, hidden = model.image_blocks.back().c_fc.outputs();
  const BlockWeights& block = model.image_blocks.back();
  const float *fc = block.c_fc.weight(), *out_proj = block.out_proj.weight();
  Arena::Scope scope(context.arena);
  // composite (width, hidden) = out_proj^T (gamma_2 * W1^T)
  const auto scaled = context.arena.take<float>(static_cast<size_t>(hidden * width));  // W1 with its columns times gamma_2
  const auto product = context.arena.take<float>(static_cast<size_t>(width * hidden));
  fc_gamma.assign(static_cast<size_t>(hidden), 0);
  fc_offset.assign(block.c_fc.bias(), block.c_fc.bias() + hidden);
  for (int64_t i = 0; i < hidden; ++i) {
    double gamma_sum = 0, beta_sum = 0;
    for (int64_t c = 0; c < width; ++c) {
      const float weight = fc[i * width + c], gamma = block.ln_2.gamma[static_cast<size_t>(c)];
      scaled[static_cast<size_t>(i * width + c)] = weight * gamma;
      gamma_sum += static_cast<double>(weight) * gamma;
      beta_sum += static_cast<double>(weight) * block.ln_2.beta[static_cast<size_t>(c)];
    }
    fc_gamma[static_cast<size_t>(i)] = static_cast<float>(gamma_sum / static_cast<double>(width));
    fc_offset[static_cast<size_t>(i)] += static_cast<float>(beta_sum);
  }
  torch::matmul(context, torch::transposed(torch::matrix(out_proj, width, width)),
                torch::transposed(torch::matrix(scaled.data(), hidden, width)), product.data());
  composite = torch::Linear(product, {}, hidden, torch::Precision::kFloat32);
  out_proj_column_sums.assign(static_cast<size_t>(width), 0);
  for (int64_t row = 0; row < width; ++row)
    for (int64_t c = 0; c < width; ++c) out_proj_column_sums[static_cast<size_t>(c)] += out_proj[row * width + c];
}

size_t LastBlock::floats(const Model& model, int64_t n) {
  LastBlock measure;
  size_t total = 0;
  measure.lay_out(model, n, [&](std::span<float>&, int64_t count) { total += static_cast<size_t>(count); });
  return total;
}

void LastBlock::bind(const Model& model, int64_t tokens, std::span<float> memory) {
  size_t at = 0;
  lay_out(model, tokens, [&](std::span<float>& part, int64_t count) {
    part = memory.subspan(at, static_cast<size_t>(count));
    at += static_cast<size_t>(count);
  });
}

void LastBlock::lay_out(const Model& model, int64_t tokens, const std::function<void(std::span<float>&, int64_t)>& place) {
  const int64_t width = model.image.width, hidden = model.image_blocks.back().c_fc.outputs(), patches = tokens - 1;
  n = tokens;
  place(y, n * width);
  place(qkv, 3 * n * width);
  place(attended, n * width);
  place(log_sum_exp, n * model.image.heads);
  place(u, patches * hidden);
  place(omega, patches * hidden);
  place(rstd_2, patches);
  place(rstd_post, patches);
  place(z_hat, patches * width);
  place(h_hat_out, patches * width);
  place(z_hat_out, patches * width);
  place(pooled, width);
}

void run_last_block(Context& context, const Model& model, const float* x, LastBlock& last, float* mean_attention) {
  context.checkpoint();
  const BlockWeights& w = model.image_blocks.back();
  const int64_t n = last.n, patches = n - 1, width = model.image.width, hidden = w.c_fc.outputs();
  Arena::Scope scope(context.arena);
  ops::layer_norm(context, x, n, width, w.ln_1.gamma.data(), w.ln_1.beta.data(), last.y.data());
  w.in_proj(context, last.y.data(), n, last.qkv.data());
  ops::attention_with_mean(context, {last.qkv.data(), width, model.image.heads}, n, last.attended.data(), last.log_sum_exp.data(),
                           affinity_weight(model), mean_attention);

  // From here on patches alone: the class token's way out of the block reaches no score.
  const auto x1 = context.arena.take<float>(static_cast<size_t>(patches * width)), h_hat = context.arena.take<float>(x1.size());
  const auto h = context.arena.take<float>(x1.size()), mlp = context.arena.take<float>(x1.size());
  const auto hidden_out = context.arena.take<float>(static_cast<size_t>(patches * hidden));
  w.out_proj(context, last.attended.data() + width, patches, x1.data());
  ops::add(context, x1.data(), x + width, patches * width);
  ops::normalise_rows(context, x1.data(), patches, width, h_hat.data(), last.rstd_2.data());
  ops::layer_norm(context, x1.data(), patches, width, w.ln_2.gamma.data(), w.ln_2.beta.data(), h.data());
  w.c_fc(context, h.data(), patches, last.u.data());
  std::copy(last.u.begin(), last.u.end(), hidden_out.begin());
  ops::activate(context, model.image.activation, hidden_out.data(), patches * hidden);
  w.c_proj(context, hidden_out.data(), patches, mlp.data());
  ops::add(context, x1.data(), mlp.data(), patches * width);
  ops::normalise_rows(context, x1.data(), patches, width, last.z_hat.data(), last.rstd_post.data());

  for (int64_t c = 0; c < width; ++c) {
    double sum = 0;
    for (int64_t i = 0; i < patches; ++i) sum += last.z_hat[static_cast<size_t>(i * width + c)];
    const auto channel = static_cast<size_t>(c);
    last.pooled[channel] =
        static_cast<float>(sum / static_cast<double>(patches)) * model.ln_post.gamma[channel] + model.ln_post.beta[channel];
  }
  context.checkpoint();
  const torch::MatrixView out_proj = torch::matrix(w.out_proj.weight(), width, width),
                          z_hat = torch::matrix(last.z_hat.data(), patches, width);
  torch::matmul(context, z_hat, torch::matrix(w.c_proj.weight(), width, hidden), last.omega.data());
  torch::matmul(context, torch::matrix(h_hat.data(), patches, width), out_proj, last.h_hat_out.data());
  torch::matmul(context, z_hat, out_proj, last.z_hat_out.data());
}

}  // namespace clip_es
