#include "cam/changed_block.h"

#include <algorithm>
#include <cmath>

#include "cam/middle_blocks.h"
#include "ops/attention.h"
#include "ops/matmul.h"
#include "ops/ops.h"

namespace clip_es {
namespace {

// qkv (n, 3 D) of the block for x (n, D).
void project_tokens(HostContext& context, const TransformerBlock& block, const float* x, int64_t n, std::span<float> qkv) {
  const int64_t width = block.in_proj.inputs();
  const auto normalised = [&](int64_t token, float* row) {
    ops::layer_norm_row(x + token * width, width, block.ln_1.gamma.data(), block.ln_1.beta.data(), row);
    return row;
  };
  block.in_proj(context, normalised, n, qkv.data());
}

// Copies one part of `from` to a part of `to`: 0 is the queries, 1 the keys, 2 the values. Both are (n, 3 D).
void copy_part(std::span<const float> from, int64_t part, int64_t width, std::span<float> to, int64_t to_part) {
  for (size_t row = 0; row < from.size(); row += 3 * width)
    std::copy_n(from.begin() + row + part * width, width, to.begin() + row + to_part * width);
}

// out = factor * ((1 - mix) * out + mix * the mean over earlier blocks of their attention to the values of qkv).
void mix_attention(HostContext& context, const ChangedBlockInput& in, int64_t n, std::span<const float> qkv, std::span<float> out) {
  const auto& [width, heads, activation] = in.model.image;
  const int64_t layers = in.model.shape.layers;
  const auto [first, last] = blocks_at(kMixedBlocks, layers);
  Arena::Scope scope(context.arena);
  const auto earlier = context.arena.take<float>(qkv.size()), mixed = context.arena.take<float>(out.size());
  const int64_t skipped = in.settings.attend_class ? 0 : width;
  ops::scale(out.data(), out.data(), std::ssize(out), in.settings.mix_factor * (1 - in.settings.mix));
  const float share = in.settings.mix_factor * in.settings.mix / static_cast<float>(last - first + 1);
  for (int64_t block = first; block <= last; ++block) {
    context.checkpoint();
    const bool is_last = block == layers;
    const TransformerBlock& w = is_last ? in.weights.last.block : in.weights.tower.blocks[block - 1];
    project_tokens(context, w, in.outputs[block - 1].data() + skipped, n, earlier);
    copy_part(qkv, 2, width, earlier, 2);
    ops::attention_with_prior(context, {earlier.data(), width, heads, in.weights.tower.attention}, n, nullptr, mixed.data());
    ops::add_scaled(out.data(), mixed.data(), std::ssize(out), share);
  }
}

// out = (out + middle v) / 2 for the patches. v: the values of the patches, 3 D floats apart.
void add_middle(HostContext& context, const ChangedBlockInput& in, const float* v, float* out) {
  const int64_t patches = in.grid.patches(), width = in.model.image.width;
  Arena::Scope scope(context.arena);
  const auto product = context.arena.take<float>(patches * width);
  ops::matmul(context, matrix(in.middle.data(), patches, patches), {v, patches, width, 3 * width, 1}, product.data());
  ops::add(context, out, product.data(), patches * width);
  ops::scale(out, out, patches * width, 0.5f);
}

// Attention before out_proj. x (n, D): the tokens that take part, the patches last -> out (n, D).
void attend(HostContext& context, const ChangedBlockInput& in, std::span<const float> x, std::span<float> out) {
  const SimilaritySettings& settings = in.settings;
  const auto& [width, heads, activation] = in.model.image;
  const int64_t n = std::ssize(x) / width, others = n - in.grid.patches();
  Arena::Scope scope(context.arena);
  const auto qkv = context.arena.take<float>(3 * x.size());
  project_tokens(context, in.weights.last.block, x.data(), n, qkv);
  if (settings.key_attention) copy_part(qkv, 1, width, qkv, 0);
  const ops::AttentionInput tokens{qkv.data(), width, heads, in.weights.last.precision};
  if (settings.neighbourhood > 0) {
    const ops::NeighbourPrior prior{gaussian(context.arena, in.grid.height, settings.neighbourhood),
                                    gaussian(context.arena, in.grid.width, settings.neighbourhood)};
    ops::attention_with_prior(context, tokens, n, &prior, out.data());
  } else {
    ops::attention_with_prior(context, tokens, n, nullptr, out.data());
  }
  if (settings.mix > 0) mix_attention(context, in, n, qkv, out);
  if (!in.middle.empty()) add_middle(context, in, qkv.data() + others * 3 * width + 2 * width, out.data() + others * width);
}

// out += the feed-forward of out, or out = the feed-forward of out if there is no residual connection.
void feed_forward(HostContext& context, const ChangedBlockInput& in, std::span<float> out) {
  const TransformerBlock& block = in.weights.last.block;
  const int64_t width = in.model.image.width, rows = std::ssize(out) / width;
  Arena::Scope scope(context.arena);
  const auto x = context.arena.take<float>(out.size());
  ops::layer_norm(context, out.data(), rows, width, block.ln_2.gamma.data(), block.ln_2.beta.data(), x.data());
  if (!in.settings.residual) std::ranges::fill(out, 0.0f);
  const auto normalised = [&](int64_t row, float*) { return x.data() + row * width; };
  Linear::feed_forward(context, block.c_fc, in.model.image.activation, block.c_proj, normalised, rows, out.data());
}

}  // namespace

std::span<float> gaussian(Arena& arena, int64_t size, float deviation) {
  const auto factors = arena.take<float>(size);
  for (int64_t d = 0; d < size; ++d) factors[d] = static_cast<float>(std::exp(-static_cast<double>(d * d) / (2.0 * deviation * deviation)));
  return factors;
}

void run_changed_block(HostContext& context, const ChangedBlockInput& in, std::span<const float> class_token,
                       std::span<const float> patches, std::span<float> out) {
  const int64_t width = in.model.image.width, count = in.grid.patches(), others = in.settings.attend_class ? 1 : 0;
  Arena::Scope scope(context.arena);
  const auto x = context.arena.take<float>((count + others) * width), attended = context.arena.take<float>(x.size());
  if (others) std::ranges::copy(class_token, x.begin());
  std::ranges::copy(patches, x.begin() + others * width);
  attend(context, in, x, attended);
  if (in.settings.residual) std::ranges::copy(patches, out.begin());
  else std::ranges::fill(out, 0.0f);
  in.weights.last.block.out_proj(context, attended.data() + others * width, count, out.data(), {.add = true});
  if (in.settings.class_token != 0)
    for (int64_t i = 0; i < count; ++i) ops::add_scaled(out.data() + i * width, class_token.data(), width, in.settings.class_token);
  if (in.settings.feed_forward) feed_forward(context, in, out);
}

}  // namespace clip_es
