// The weights of a model's image tower in device memory, in the types that the products use.
#pragma once
#include <vector>

#include "clip/model_source.h"
#include "core/context.h"
#include "device/cuda/gpu.h"
#include "device/device.h"

namespace clip_es::cuda {

struct Norm {
  const float *gamma, *beta;  // (width)
};

// y = x W^T + b, for x (rows, inputs).
struct Linear {
  torch::Dtype dtype;  // of x, weight, bias and y; in products without a bias, a bfloat16 layer may have a float32 y
  int64_t inputs, outputs;
  const void *weight, *bias;  // (outputs, inputs), (outputs) or null
};

struct Block {
  Norm ln_1, ln_2;
  Linear in_proj, out_proj, c_fc, c_proj;
};

class Weights : public DeviceWeights {
 public:
  // Reads the model layer by layer. dtype: the type of all linear layers. The copies are queued on the stream of gpu: wait for it before
  // another stream uses the weights.
  Weights(const std::shared_ptr<Gpu> &, HostContext &, const ModelSource &, torch::Dtype);

  size_t bytes() const override { return memory_.capacity(); }

  torch::Dtype dtype;      // of all layers
  Linear patch_embedding;  // its inputs are a row of patches: the values of a patch, in bfloat16 also zeros up to whole 16 bytes
  const float *class_embedding, *positions, *projection, *pixel_values;  // as in ops/cuda/kernels_tower.h
  Norm ln_pre, ln_post;
  std::vector<Block> blocks;
  Linear composite;  // this and the following: see GradCamTensors
  const float *fc_gamma, *fc_offset, *out_proj_column_sums;

 private:
  // Each copies host values to device memory.
  const float *put(std::span<const float>);
  const void *put(std::span<const float>, torch::Dtype);
  Norm put(const LayerNormWeights &);
  Linear put(const LinearTensors &, torch::Dtype);
  Block put(const BlockTensors &, torch::Dtype);

  const Gpu &gpu_;
  Arena memory_;  // holds all weights until this object is destroyed
};

}  // namespace clip_es::cuda
