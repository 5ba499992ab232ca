// A CLIP-ViT's weights under the engine's names, every size read off the tensors of the archive.
#pragma once
#include <array>
#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "archive/archive.h"
#include "clip/transformer.h"

namespace clip_es {

struct ModelShape {
  int64_t patch, width, layers, resolution, embedding, context, vocabulary;
};

struct Model {
  ModelShape shape;
  uint64_t fingerprint;
  Precision precision;
  float logit_scale;               // exp of the stored one
  std::array<float, 3> mean, std;  // of the pixels, in [0, 1]

  // image tower
  TransformerShape image;
  Linear patch_embedding;            // (width, 3 * patch * patch), no bias
  std::vector<float> class_embedding;       // (width)
  std::vector<float> positional_embedding;  // (grid * grid + 1, width), class token first
  LayerNormWeights ln_pre, ln_post;
  std::vector<BlockWeights> image_blocks;
  std::vector<float> image_projection;  // (width, embedding)

  // text tower
  TransformerShape text;
  std::vector<float> token_embedding;            // (vocabulary, text.width)
  std::vector<float> text_positional_embedding;  // (context, text.width)
  LayerNormWeights ln_final;
  std::vector<BlockWeights> text_blocks;
  std::vector<float> text_projection;  // (text.width, embedding)

  size_t bytes() const;                  // of memory held, about
  std::string fingerprint_text() const;  // as class sets name their model: 16 hexadecimal digits
};

// Throws Error kModelFormat naming the tensor that is missing, misshapen or not finite; Cancelled between tensors.
Model read_model(const Archive&, Precision, const std::atomic<bool>* cancelled = nullptr);

}  // namespace clip_es
