// The last block's weights, and the tensors that the closed form of GradCAM derives from them. Both are made once per model.
#pragma once
#include <vector>

#include "clip/transformer.h"
#include "ops/packed_matmul.h"

namespace clip_es {

// The derived tensors in float32. Every device makes its own copy from them.
struct GradCamTensors {
  std::vector<float> composite;  // (D, F): out_proj^T LN_2 W1^T, from a gradient in the MLP to the gradient of attention's output
  std::vector<float> fc_gamma;   // (F): W1 gamma_2 / D
  std::vector<float> fc_offset;  // (F): b1 + W1 beta_2
  std::vector<float> out_proj_column_sums;  // (D)
};
GradCamTensors derive_gradcam_tensors(HostContext&, const BlockTensors& last);

// The block's weights and the derived tensors on the CPU, packed for products.
struct LastBlockWeights {
  Precision precision = Precision::kFloat32;  // of all products of the last block and of GradCAM: kFloat32 or kBFloat16
  TransformerBlock block;
  ops::PackedMatrix composite;                                                   // (D, F)
  ops::PackedMatrix c_proj_transposed, out_proj_transposed, in_proj_transposed;  // y = x W, where the layer computes x W^T
  std::vector<float> fc_gamma, fc_offset, out_proj_column_sums;                  // as in GradCamTensors

  size_t bytes() const;
};
LastBlockWeights make_last_block_weights(HostContext&, const BlockTensors& last, Precision);

}  // namespace clip_es
