#include <algorithm>
#include <array>

#include "cam/softmax_gradcam.h"
#include "ops/matmul.h"

namespace clip_es {

GradCamWeights::GradCamWeights(HostContext& context, const Model& model) {
  const int64_t width = model.image.width, hidden = model.image_blocks.back().c_fc.outputs();
  const BlockWeights& block = model.image_blocks.back();
  const float *fc = block.c_fc.weight(), *out_proj = block.out_proj.weight();
  Arena::Scope scope(context.arena);
  // composite (width, hidden) = out_proj^T (gamma_2 * W1^T)
  const auto scaled = context.arena.take<float>(static_cast<size_t>(hidden * width));  // W1 with its columns times gamma_2
  composite.resize(static_cast<size_t>(width * hidden));
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
  ops::matmul(context, transposed(matrix(out_proj, width, width)), transposed(matrix(scaled.data(), hidden, width)), composite.data());
  out_proj_column_sums.assign(static_cast<size_t>(width), 0);
  for (int64_t row = 0; row < width; ++row)
    for (int64_t c = 0; c < width; ++c) out_proj_column_sums[static_cast<size_t>(c)] += out_proj[row * width + c];
}

void GradCamWeights::pack(const Model& model, Precision precision) {
  const BlockWeights& block = model.image_blocks.back();
  const int64_t width = model.image.width, hidden = block.c_fc.outputs();
  packed_composite = ops::pack_matrix(precision, composite.data(), width, hidden);
  composite = {};
  c_proj_back = ops::pack_transposed_matrix(precision, block.c_proj.weight(), hidden, width);
  out_proj_back = ops::pack_transposed_matrix(precision, block.out_proj.weight(), width, width);
  in_proj_back = ops::pack_transposed_matrix(precision, block.in_proj.weight(), width, 3 * width);
}

namespace {

struct Part {
  std::span<float> LastBlock::*span;
  int64_t per_token, per_patch, per_image;  // floats
};

std::array<Part, 12> parts(const Model& model) {
  const int64_t width = model.image.width, hidden = model.image_blocks.back().c_fc.outputs();
  return {{{&LastBlock::y, width, 0, 0},
           {&LastBlock::qkv, 3 * width, 0, 0},
           {&LastBlock::attended, width, 0, 0},
           {&LastBlock::log_sum_exp, model.image.heads, 0, 0},
           {&LastBlock::u, 0, hidden, 0},
           {&LastBlock::omega, 0, hidden, 0},
           {&LastBlock::rstd_2, 0, 1, 0},
           {&LastBlock::rstd_post, 0, 1, 0},
           {&LastBlock::z_hat, 0, width, 0},
           {&LastBlock::h_hat_out, 0, width, 0},
           {&LastBlock::z_hat_out, 0, width, 0},
           {&LastBlock::pooled, 0, 0, width}}};
}

// The mean over patches of ln_post's output.
void pool(const Model& model, const LastBlock& image) {
  const int64_t width = model.image.width, patches = image.n - 1;
  for (int64_t c = 0; c < width; ++c) {
    double sum = 0;
    for (int64_t i = 0; i < patches; ++i) sum += image.z_hat[static_cast<size_t>(i * width + c)];
    const auto channel = static_cast<size_t>(c);
    image.pooled[channel] =
        static_cast<float>(sum / static_cast<double>(patches)) * model.ln_post.gamma[channel] + model.ln_post.beta[channel];
  }
}

size_t count(const Part& part, int64_t n) { return static_cast<size_t>(n * part.per_token + (n - 1) * part.per_patch + part.per_image); }

}  // namespace

size_t LastBlock::floats(const Model& model, int64_t n) {
  size_t total = 0;
  for (const Part& part : parts(model)) total += count(part, n);
  return total;
}

void bind(const Model& model, std::span<LastBlock> images, std::span<float> memory) {
  for (const Part& part : parts(model))
    for (LastBlock& image : images) {
      image.*part.span = memory.first(count(part, image.n));
      memory = memory.subspan(count(part, image.n));
    }
}

void run_last_block(HostContext& context, const Model& model, const GradCamWeights& weights, const float* x, std::span<LastBlock> images,
                    std::span<float* const> mean_attention) {
  context.checkpoint();
  const BlockWeights& w = model.image_blocks.back();
  const int64_t width = model.image.width, hidden = w.c_fc.outputs();
  int64_t tokens = 0, patches = 0;
  for (const LastBlock& image : images) tokens += image.n, patches += image.n - 1;
  const LastBlock& all = images.front();  // whose spans begin the matrices of all images
  ops::layer_norm(context, x, tokens, width, w.ln_1.gamma.data(), w.ln_1.beta.data(), all.y.data());
  w.in_proj(context, all.y.data(), tokens, all.qkv.data());

  // From here on patches alone: the class token's way out of the block reaches no score.
  Arena::Scope scope(context.arena);
  const auto x1 = context.arena.take<float>(static_cast<size_t>(patches * width)), h_hat = context.arena.take<float>(x1.size());
  float* own = x1.data();
  for (size_t i = 0; i < images.size(); ++i) {
    const LastBlock& image = images[i];
    const int64_t values = (image.n - 1) * width;
    ops::attention_with_mean(context, {image.qkv.data(), width, model.image.heads, model.image.attention}, image.n, image.attended.data(),
                             image.log_sum_exp.data(), affinity_weight(model), mean_attention[i]);
    std::copy_n(x + width, values, own);
    w.out_proj(context, image.attended.data() + width, image.n - 1, own, {.add = true});
    own += values;
    x += values + width;
  }
  ops::normalise_rows(context, x1.data(), patches, width, h_hat.data(), all.rstd_2.data());
  const auto normalised = [&](int64_t patch, float* row) {
    ops::layer_norm_row(x1.data() + patch * width, width, w.ln_2.gamma.data(), w.ln_2.beta.data(), row);
    return row;
  };
  const auto activated = [&](int64_t patch, float* row) {
    std::copy_n(all.u.data() + patch * hidden, hidden, row);
    ops::activate(model.image.activation, row, hidden, model.image.attention);  // c_proj multiplies in attention's precision
    return row;
  };
  w.c_fc(context, normalised, patches, all.u.data());
  w.c_proj(context, activated, patches, x1.data(), {.add = true});
  ops::normalise_rows(context, x1.data(), patches, width, all.z_hat.data(), all.rstd_post.data());
  for (const LastBlock& image : images) pool(model, image);

  context.checkpoint();
  ops::packed_matmul(context, weights.c_proj_back, all.z_hat.data(), patches, {}, all.omega.data());
  ops::packed_matmul(context, weights.out_proj_back, h_hat.data(), patches, {}, all.h_hat_out.data());
  ops::packed_matmul(context, weights.out_proj_back, all.z_hat.data(), patches, {}, all.z_hat_out.data());
}

}  // namespace clip_es
