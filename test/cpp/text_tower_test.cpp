// Prompts in groups, and the limits of token ids.
#include "clip/text_tower.h"

#include "check.h"
#include "golden.h"
#include "options.h"
#include "support.h"

namespace clip_es::text_tower_test {

namespace {

struct Tower {
  const ModelFile& file = model_at(options().golden + kSmallModel);
  const Model& model = *file.model();
  TextTower text{file};

  // Prompts of all lengths up to the context, or of the whole context.
  std::vector<int32_t> prompts(int64_t count, bool whole) const {
    const int64_t context = model.shape.context, end = model.shape.vocabulary - 1;
    std::vector<int32_t> tokens(count * context);
    for (int64_t i = 0; i < count; ++i) {
      const int64_t length = whole ? context : 2 + i % (context - 1);
      for (int64_t t = 0; t + 1 < length; ++t) tokens[i * context + t] = static_cast<int32_t>((i * 31 + t * 7) % end);
      tokens[i * context + length - 1] = static_cast<int32_t>(end);
    }
    return tokens;
  }
};

}  // namespace

TEST("prompts of more tokens than one group holds get the embeddings that they get one by one") {
  const Tower tower;
  const int64_t context = tower.model.shape.context, embedding = tower.model.shape.embedding, count = 2 * 2048 / context * 3;
  const std::vector<int32_t> tokens = tower.prompts(count, false);
  std::vector<float> together(count * embedding), alone(together.size());
  encode_text(test_context(), tower.model, tower.text, tokens, together);
  for (int64_t i = 0; i < count; ++i)
    encode_text(test_context(), tower.model, tower.text, std::span(tokens).subspan(i * context, context),
                std::span(alone).subspan(i * embedding, embedding));
  CHECK_BELOW(check::largest_difference(together, alone), 1e-5);
}

TEST("many prompts need no more memory than one group of them") {
  const Tower tower;
  const int64_t context = tower.model.shape.context, embedding = tower.model.shape.embedding, group = 2048 / context + 1;
  ThreadPool pool(2);
  Arena arena;
  HostContext host{pool, arena};
  std::vector<float> embeddings(5 * group * embedding);
  const auto encode = [&](int64_t count) {
    encode_text(host, tower.model, tower.text, tower.prompts(count, true), std::span(embeddings).first(count * embedding));
    return arena.capacity();
  };
  encode(group);
  const size_t one = encode(group);
  CHECK(encode(5 * group) == one);
}

TEST("the first and the last token id are accepted, and ids outside the vocabulary are refused") {
  const Tower tower;
  std::vector<float> embedding(tower.model.shape.embedding);
  std::vector<int32_t> tokens = tower.prompts(1, true);
  const auto last = static_cast<int32_t>(tower.model.shape.vocabulary) - 1;
  tokens[0] = 0;
  tokens[1] = last;
  encode_text(test_context(), tower.model, tower.text, tokens, embedding);
  for (const int32_t bad : {-1, last + 1}) {
    tokens[1] = bad;
    CHECK_ERROR(encode_text(test_context(), tower.model, tower.text, tokens, embedding), ErrorCode::kInvalidArg,
                "token id " + std::to_string(bad) + " is outside");
  }
}

}  // namespace clip_es::text_tower_test
