#include "clip/transformer.h"

namespace clip_es {
namespace {

// `attend` turns qkv (tokens, 3 width) into out (tokens, width).
template <class Attend>
void run_block(HostContext& context, const TransformerShape& shape, Precision precision, const TransformerBlock& w, int64_t tokens,
               float* x, Attend attend) {
  const int64_t width = shape.width, count = tokens * width;
  const auto normalised = [&](const LayerNormWeights& norm) {
    return [x, width, &norm](int64_t token, float* y) {
      ops::layer_norm_row(x + token * width, width, norm.gamma.data(), norm.beta.data(), y);
      return y;
    };
  };
  {
    Arena::Scope scope(context.arena);
    const auto attended = context.arena.take<float>(count), qkv = context.arena.take<float>(3 * attended.size());
    w.in_proj(context, normalised(w.ln_1), tokens, qkv.data());
    attend(ops::AttentionInput{qkv.data(), width, shape.heads, precision}, attended.data());
    w.out_proj(context, attended.data(), tokens, x, {.add = true});
  }
  Linear::feed_forward(context, w.c_fc, shape.activation, w.c_proj, normalised(w.ln_2), tokens, x);
}

int64_t count_tokens(std::span<const ops::Sequence> sequences) { return sequences.back().begin + sequences.back().length; }

}  // namespace

TransformerBlock pack_block(const BlockTensors& tensors, Precision precision) {
  return {tensors.ln_1,
          tensors.ln_2,
          Linear(tensors.in_proj, precision),
          Linear(tensors.out_proj, precision),
          Linear(tensors.c_fc, precision),
          Linear(tensors.c_proj, precision)};
}

void transformer_block(HostContext& context, const TransformerShape& shape, Precision precision, const TransformerBlock& w,
                       std::span<const ops::Sequence> sequences, bool causal, float* x) {
  run_block(context, shape, precision, w, count_tokens(sequences), x,
            [&](const ops::AttentionInput& in, float* out) { ops::attention(context, in, sequences, causal, out, nullptr); });
}

void transformer_block_with_means(HostContext& context, const TransformerShape& shape, Precision precision, const TransformerBlock& w,
                                  std::span<const ops::Sequence> images, float* x, float weight, std::span<const HostSpan<float>> means) {
  run_block(context, shape, precision, w, count_tokens(images), x, [&](const ops::AttentionInput& in, float* out) {
    for (size_t i = 0; i < images.size(); ++i) {
      const auto [begin, n] = images[i];
      const ops::AttentionInput own{in.qkv + begin * 3 * in.width, in.width, in.heads, in.precision};
      ops::attention_with_mean(context, own, n, out + begin * in.width, nullptr, weight, means[i].data());
    }
  });
}

}  // namespace clip_es
