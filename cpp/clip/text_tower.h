// Prompts -> unit embeddings.
#pragma once
#include <cstdint>
#include <span>

#include "clip/model.h"

namespace clip_es {

// tokens (T, context): start, text, end-of-text, zeros -> embeddings (T, embedding), rows of length one. A prompt is pooled at its
// largest token id, the end-of-text. All prompts of a group share the matrix products; what follows the end-of-text is left out,
// as a causal tower cannot see it. Throws Error kInvalidArg for an id outside the vocabulary.
void encode_text(HostContext&, const Model&, std::span<const int32_t> tokens, std::span<float> embeddings);

}  // namespace clip_es
