#include "clip/transformer.h"

namespace clip_es {
namespace {

// `attend` turns qkv (tokens, 3 width) into out (tokens, width).
template <class Attend>
void run_block(Context& context, const TransformerShape& shape, const BlockWeights& w, int64_t tokens, float* x, Attend attend) {
  const int64_t width = shape.width, hidden = w.c_fc.outputs(), count = tokens * width;
  Arena::Scope scope(context.arena);
  const auto normalised = context.arena.take<float>(static_cast<size_t>(count));
  {
    Arena::Scope attention_scope(context.arena);
    const auto qkv = context.arena.take<float>(static_cast<size_t>(3 * count));
    ops::layer_norm(context, x, tokens, width, w.ln_1.gamma.data(), w.ln_1.beta.data(), normalised.data());
    w.in_proj(context, normalised.data(), tokens, qkv.data());
    attend(ops::AttentionInput{qkv.data(), width, shape.heads, shape.attention}, normalised.data());
    w.out_proj(context, normalised.data(), tokens, x, {.add = true});
  }
  const auto u = context.arena.take<float>(static_cast<size_t>(tokens * hidden));
  ops::layer_norm(context, x, tokens, width, w.ln_2.gamma.data(), w.ln_2.beta.data(), normalised.data());
  w.c_fc(context, normalised.data(), tokens, u.data(), {.activation = shape.activation});
  w.c_proj(context, u.data(), tokens, x, {.add = true});
}

int64_t count_tokens(std::span<const ops::Sequence> sequences) { return sequences.back().begin + sequences.back().length; }

}  // namespace

void transformer_block(Context& context, const TransformerShape& shape, const BlockWeights& w, std::span<const ops::Sequence> sequences,
                       bool causal, float* x) {
  run_block(context, shape, w, count_tokens(sequences), x,
            [&](const ops::AttentionInput& in, float* out) { ops::attention(context, in, sequences, causal, out, nullptr); });
}

void transformer_block_with_means(Context& context, const TransformerShape& shape, const BlockWeights& w,
                                  std::span<const ops::Sequence> images, float* x, float weight, std::span<float* const> means) {
  run_block(context, shape, w, count_tokens(images), x, [&](const ops::AttentionInput& in, float* out) {
    for (size_t i = 0; i < images.size(); ++i) {
      const auto [begin, n] = images[i];
      const ops::AttentionInput own{in.qkv + begin * 3 * in.width, in.width, in.heads, in.precision};
      ops::attention_with_mean(context, own, n, out + begin * in.width, nullptr, weight, means[i]);
    }
  });
}

}  // namespace clip_es
