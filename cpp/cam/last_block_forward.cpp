#include "cam/last_block_forward.h"

#include <algorithm>

#include "clip/image_tower.h"
#include "ops/attention.h"
#include "ops/ops.h"

namespace clip_es {
namespace {

// The mean over patches of ln_post's output.
void pool(const Model& model, const HostLastBlock& image) {
  const int64_t width = model.image.width, patches = image.patches();
  for (int64_t c = 0; c < width; ++c) {
    double sum = 0;
    for (int64_t i = 0; i < patches; ++i) sum += image.z_hat[i * width + c];
    image.pooled[c] = static_cast<float>(sum / patches) * model.ln_post.gamma[c] + model.ln_post.beta[c];
  }
}

}  // namespace

void run_last_block(HostContext& context, const Model& model, const LastBlockWeights& weights, HostSpan<const float> tokens,
                    std::span<const HostLastBlock> images, std::span<const HostSpan<float>> mean_attention) {
  context.checkpoint();
  const TransformerBlock& w = weights.block;
  const int64_t width = model.image.width, hidden = model.last_hidden;
  int64_t count = 0, patches = 0;
  for (const HostLastBlock& image : images) {
    count += image.tokens;
    patches += image.patches();
  }
  const HostLastBlock& all = images.front();  // each of its spans is the start of the matrix of all images
  ops::layer_norm(context, tokens.data(), count, width, w.ln_1.gamma.data(), w.ln_1.beta.data(), all.y.data());
  w.in_proj(context, all.y.data(), count, all.qkv.data());

  // From here on only patches are computed, because no score depends on the class token's output.
  Arena::Scope scope(context.arena);
  const auto x1 = context.arena.take<float>(patches * width), h_hat = context.arena.take<float>(patches * width);
  const float* x = tokens.data();
  float* own = x1.data();
  for (size_t i = 0; i < images.size(); ++i) {
    const HostLastBlock& image = images[i];
    const int64_t values = image.patches() * width;
    ops::attention_with_mean(context, {image.qkv.data(), width, model.image.heads, weights.precision}, image.tokens, image.attended.data(),
                             image.log_sum_exp.data(), affinity_weight(model), mean_attention[i].data());
    std::copy_n(x + width, values, own);
    w.out_proj(context, image.attended.data() + width, image.patches(), own, {.add = true});
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
    ops::activate(model.image.activation, row, hidden, weights.precision);
    return row;
  };
  w.c_fc(context, normalised, patches, all.u.data());
  w.c_proj(context, activated, patches, x1.data(), {.add = true});
  ops::normalise_rows(context, x1.data(), patches, width, all.z_hat.data(), all.rstd_post.data());
  for (const HostLastBlock& image : images) pool(model, image);

  context.checkpoint();
  ops::packed_matmul(context, weights.c_proj_transposed, all.z_hat.data(), patches, {}, all.omega.data());
  ops::packed_matmul(context, weights.out_proj_transposed, h_hat.data(), patches, {}, all.h_hat_out.data());
  ops::packed_matmul(context, weights.out_proj_transposed, all.z_hat.data(), patches, {}, all.z_hat_out.data());
}

}  // namespace clip_es
