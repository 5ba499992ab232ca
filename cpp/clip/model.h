// A CLIP-ViT as it was read from its archive, without the matrices of its blocks. Every device makes its own copy of those: see
// clip/model_source.h. A Model never changes after it was read.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "clip/tensors.h"
#include "core/array.h"
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
  std::array<float, 3> mean, std;  // of pixel values in [0, 1]
  // True for a bare state dict that does not say them: OpenAI's were assumed.
  bool assumed_activation, assumed_heads;

  TransformerShape image;
  int64_t last_hidden;                      // width of the hidden layer in the last image block
  std::vector<float> class_embedding;       // (width)
  std::vector<float> positional_embedding;  // (grid * grid + 1, width), class token first
  LayerNormWeights ln_pre, ln_post;
  std::vector<float> image_projection;  // (width, embedding)

  TransformerShape text;
  int64_t text_layers;
  Array<float> token_embedding;                  // (vocabulary, text.width)
  std::vector<float> text_positional_embedding;  // (context, text.width)
  LayerNormWeights ln_final;
  std::vector<float> text_projection;  // (text.width, embedding)

  int64_t patch_values() const { return 3 * shape.patch * shape.patch; }
  size_t bytes() const;                  // the memory that it holds, approximately
  std::string fingerprint_text() const;  // 16 hexadecimal digits; class sets store them to identify the model
};

}  // namespace clip_es
