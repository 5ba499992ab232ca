#include "clip/text_tower.h"

#include <algorithm>
#include <cmath>

#include "ops/matmul.h"

namespace clip_es {
namespace {

constexpr int64_t kGroupTokens = 2048;  // that share products, approximately: enough for fast products, and few enough to cancel soon

// The number of tokens up to and including the end-of-text, which has the largest id.
int64_t prompt_length(std::span<const int32_t> prompt) { return std::max_element(prompt.begin(), prompt.end()) - prompt.begin() + 1; }

void check_ids(const Model& model, std::span<const int32_t> tokens) {
  for (const int32_t id : tokens)
    if (id < 0 || id >= model.shape.vocabulary)
      throw Error(ErrorCode::kInvalidArg, "token id " + std::to_string(id) + " is outside the model's vocabulary of " +
                                              std::to_string(model.shape.vocabulary) + " tokens: the model was made for another tokenizer");
}

void embed_tokens(const Model& model, std::span<const int32_t> prompt, float* x) {
  const int64_t width = model.text.width;
  for (size_t i = 0; i < prompt.size(); ++i) {
    const float* token = &model.token_embedding[prompt[i] * width];
    const float* position = &model.text_positional_embedding[i * static_cast<size_t>(width)];
    for (int64_t c = 0; c < width; ++c) *x++ = token[c] + position[c];
  }
}

// Writes the embedding of each sequence, of length one, from its last token.
void pool(HostContext& context, const Model& model, std::span<const ops::Sequence> sequences, const float* x, float* embeddings) {
  const int64_t width = model.text.width, embedding = model.shape.embedding, count = std::ssize(sequences);
  Arena::Scope scope(context.arena);
  const auto pooled = context.arena.take<float>(count * width);
  for (int64_t i = 0; i < count; ++i) {
    const ops::Sequence& s = sequences[i];
    std::copy_n(x + (s.begin + s.length - 1) * width, width, pooled.data() + i * width);
  }
  ops::layer_norm(context, pooled.data(), count, width, model.ln_final.gamma.data(), model.ln_final.beta.data(), pooled.data());
  ops::matmul(context, matrix(pooled.data(), count, width), matrix(model.text_projection.data(), width, embedding), embeddings);
  for (int64_t i = 0; i < count; ++i) {
    float* row = embeddings + i * embedding;
    double squares = 0;
    for (int64_t c = 0; c < embedding; ++c) squares += static_cast<double>(row[c]) * row[c];
    if (!std::isfinite(squares) || squares == 0)
      throw Error(ErrorCode::kModelFormat,
                  "the text tower gives no finite embedding: the model's weights overflow or are zero; use another copy of the model");
    for (int64_t c = 0; c < embedding; ++c) row[c] = static_cast<float>(row[c] / std::sqrt(squares));
  }
}

}  // namespace

TextTower::TextTower(const ModelSource& source) {
  const int64_t layers = source.model()->text_layers;
  for (int64_t i = 0; i < layers; ++i) {
    const BlockTensors b = source.text_block(i);
    blocks.push_back(
        {b.ln_1, b.ln_2, Linear::compact(b.in_proj), Linear::compact(b.out_proj), Linear::compact(b.c_fc), Linear::compact(b.c_proj)});
  }
}

size_t TextTower::bytes() const {
  size_t total = 0;
  for (const TransformerBlock& block : blocks) total += block.bytes();
  return total;
}

void encode_text(HostContext& context, const Model& model, const TextTower& tower, std::span<const int32_t> tokens,
                 std::span<float> embeddings) {
  const size_t length = model.shape.context;
  const size_t prompts = tokens.size() / length;
  check_ids(model, tokens);
  for (size_t first = 0; first < prompts;) {
    std::vector<ops::Sequence> sequences;
    int64_t total = 0;
    while (first + sequences.size() < prompts && total < kGroupTokens) {
      const int64_t own = prompt_length(tokens.subspan((first + sequences.size()) * length, length));
      sequences.push_back({total, own});
      total += own;
    }
    Arena::Scope scope(context.arena);
    const auto x = context.arena.take<float>(total * model.text.width);
    for (size_t i = 0; i < sequences.size(); ++i)
      embed_tokens(model, tokens.subspan((first + i) * length, sequences[i].length), x.data() + sequences[i].begin * model.text.width);
    for (const TransformerBlock& block : tower.blocks) {
      context.checkpoint();
      transformer_block(context, model.text, Precision::kFloat32, block, sequences, true, x.data());
    }
    pool(context, model, sequences, x.data(), embeddings.data() + first * static_cast<size_t>(model.shape.embedding));
    first += sequences.size();
  }
}

}  // namespace clip_es
