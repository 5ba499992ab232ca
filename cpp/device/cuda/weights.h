// A model's image tower in the GPU's memory, in the precisions in which it multiplies.
#pragma once
#include <vector>

#include "cam/softmax_gradcam.h"
#include "clip/model.h"
#include "device/cuda/gpu.h"

namespace clip_es::cuda {

struct Norm {
  const float *gamma, *beta;
};

// y = x W^T + b.
struct Linear {
  torch::Dtype dtype;  // of everything
  int64_t inputs, outputs;
  const void *weight, *bias;  // (outputs, inputs), (outputs) or null
};

struct Block {
  Norm ln_1, ln_2;
  Linear in_proj, out_proj, c_fc, c_proj;
};

class Weights {
 public:
  // blocks: of image_blocks, the last always in float32. The model must have been read in float32.
  Weights(const std::shared_ptr<Gpu> &, const Model &, const GradCamWeights &, torch::Dtype blocks);

  size_t bytes() const { return memory_.capacity(); }

  Linear patch_embedding;
  const float *class_embedding, *positions, *projection, *pixel_values;  // pixel_values (3, 256): each byte, normalised
  Norm ln_pre, ln_post;
  std::vector<Block> blocks;
  Linear composite;  // and the rest of GradCamWeights
  const float *fc_gamma, *fc_offset, *out_proj_column_sums;

 private:
  const float *put(std::span<const float>);
  const void *put(std::span<const float>, torch::Dtype);
  Norm put(const LayerNormWeights &);
  Linear put(const clip_es::Linear &, torch::Dtype);

  const Gpu &gpu_;
  Arena memory_;  // taken and never given back
};

}  // namespace clip_es::cuda
