// Prompts -> unit embeddings. Texts are encoded on the host, whatever device computes images: once for many images, always in float32.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "clip/model_source.h"
#include "clip/transformer.h"

namespace clip_es {

// The blocks' weights, in half the memory if float16 holds them exactly, as it does for OpenAI's archives.
struct TextTower {
  explicit TextTower(const ModelSource&);
  size_t bytes() const;

  std::vector<TransformerBlock> blocks;
};

// tokens (T, context): start, text, end-of-text, zeros -> embeddings (T, embedding), rows of length one. A prompt is pooled at its
// largest token id, the end-of-text. Prompts share matrix products. What follows the end-of-text is left out, because a causal tower
// cannot see it. Throws Error kInvalidArg for an id outside the vocabulary.
void encode_text(HostContext&, const Model&, const TextTower&, std::span<const int32_t> tokens, std::span<float> embeddings);

}  // namespace clip_es
