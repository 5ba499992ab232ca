// Encodes prompts as vectors of length one. The host encodes them in float32 even if a GPU computes the images, because the same prompts
// serve many images.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "clip/model_source.h"
#include "clip/transformer.h"

namespace clip_es {

// The weights of the blocks, stored as Linear::compact() stores them.
struct TextTower {
  TextTower() = default;
  explicit TextTower(const ModelSource&);
  size_t bytes() const;

  std::vector<TransformerBlock> blocks;
};

// tokens (T, context): each prompt is start, text, end-of-text, zeros. embeddings (T, embedding): rows of length one. A prompt's embedding
// is computed from its end-of-text, which has the largest id. The tokens after it are skipped, because no earlier token attends to them.
// Prompts share matrix products. Throws Error kInvalidArg for an id outside the vocabulary.
void encode_text(HostContext&, const Model&, const TextTower&, std::span<const int32_t> tokens, std::span<float> embeddings);

}  // namespace clip_es
