// What is known of a CLIP-ViT once its archive has been read, apart from the matrices of its blocks: every device makes its own copy of
// those (see clip/model_source.h). A Model never changes after it was read.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "clip/tensors.h"
#include "ops/ops.h"

namespace clip_es {

// Every size comes from the archive's tensors.
struct ModelShape {
  int64_t patch, width, layers, resolution, embedding, context, vocabulary;
};

struct TransformerShape {
  int64_t width, heads;
  Activation activation;
};

struct Model {
  ModelShape shape;
  uint64_t fingerprint;
  float logit_scale;               // exp of the stored value
  std::array<float, 3> mean, std;  // of the pixels, in [0, 1]
  // The archive is a bare state dict that does not say them: they were assumed to be as in OpenAI's models.
  bool assumed_activation, assumed_heads;

  TransformerShape image;
  int64_t last_hidden;                      // width of the last image block's hidden layer
  std::vector<float> class_embedding;       // (width)
  std::vector<float> positional_embedding;  // (grid * grid + 1, width), class token first
  LayerNormWeights ln_pre, ln_post;
  std::vector<float> image_projection;  // (width, embedding)

  TransformerShape text;
  int64_t text_layers;
  std::vector<float> token_embedding;            // (vocabulary, text.width)
  std::vector<float> text_positional_embedding;  // (context, text.width)
  LayerNormWeights ln_final;
  std::vector<float> text_projection;  // (text.width, embedding)

  int64_t patch_values() const { return 3 * shape.patch * shape.patch; }
  size_t bytes() const;                  // of memory held, about
  std::string fingerprint_text() const;  // as class sets name their model: 16 hexadecimal digits
};

}  // namespace clip_es
