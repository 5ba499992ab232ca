// A layer's weights as they were read: float32, in the host's memory.
#pragma once
#include <cstdint>
#include <vector>

namespace clip_es {

struct LayerNormWeights {
  std::vector<float> gamma, beta;  // (width)
};

// y = x weight^T + bias
struct LinearTensors {
  std::vector<float> weight;  // (outputs, inputs)
  std::vector<float> bias;    // (outputs), or empty
  int64_t outputs, inputs;
};

// CLIP's ResidualAttentionBlock.
struct BlockTensors {
  LayerNormWeights ln_1, ln_2;
  LinearTensors in_proj, out_proj, c_fc, c_proj;
};

}  // namespace clip_es
