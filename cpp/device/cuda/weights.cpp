#include "device/cuda/weights.h"

#include <algorithm>
#include <utility>

#include "cam/last_block_weights.h"
#include "core/float16.h"

namespace clip_es::cuda {
namespace {

// (3, 256): every byte normalised, with the same float32 operations in the same order as ops::extract_patches and torchvision.
std::vector<float> make_pixel_values(const Model& model) {
  std::vector<float> values;
  for (size_t c = 0; c < 3; ++c)
    for (int byte = 0; byte < 256; ++byte) values.push_back((byte / 255.0f - model.mean[c]) / model.std[c]);
  return values;
}

// cuBLAS multiplies bfloat16 fast only if a row has a multiple of 16 bytes. The 588 values of a 14 x 14 patch have 1176 bytes, so zeros
// follow. The array of patches has room for them, because it is as large as in float32.
LinearTensors with_whole_vectors(LinearTensors layer, torch::Dtype type) {
  const int64_t inputs = layer.inputs, padded = (inputs + 7) / 8 * 8;
  if (type == torch::Dtype::kFloat32 || padded == inputs || padded > 2 * inputs) return layer;
  std::vector<float> weight(layer.outputs * padded);
  for (int64_t row = 0; row < layer.outputs; ++row) std::copy_n(layer.weight.begin() + row * inputs, inputs, weight.begin() + row * padded);
  return {std::move(weight), std::move(layer.bias), layer.outputs, padded};
}

}  // namespace

Weights::Weights(const std::shared_ptr<Gpu>& gpu, HostContext& context, const ModelSource& source, torch::Dtype type)
    : dtype(type), gpu_(*gpu), memory_(Gpu::memory(gpu)) {
  const Model& model = *source.model();
  patch_embedding = put(with_whole_vectors(source.patch_embedding(), dtype), dtype);
  class_embedding = put(model.class_embedding);
  positions = put(model.positional_embedding);
  projection = put(model.image_projection);
  pixel_values = put(make_pixel_values(model));
  ln_pre = put(model.ln_pre);
  ln_post = put(model.ln_post);
  for (int64_t i = 0; i + 1 < model.shape.layers; ++i) blocks.push_back(put(source.image_block(i), dtype));
  const BlockTensors last = source.image_block(model.shape.layers - 1);
  blocks.push_back(put(last, dtype));
  const GradCamTensors gradcam = derive_gradcam_tensors(context, last);
  composite = {dtype, last.c_fc.outputs, last.c_fc.inputs, put(gradcam.composite, dtype), nullptr};
  fc_gamma = put(gradcam.fc_gamma);
  fc_offset = put(gradcam.fc_offset);
  out_proj_column_sums = put(gradcam.out_proj_column_sums);
}

const float* Weights::put(std::span<const float> values) {
  const std::span<float> to = memory_.take<float>(values.size());
  gpu_.copy_in(values, to.data());
  return to.data();
}

const void* Weights::put(std::span<const float> values, torch::Dtype type) {
  if (type == torch::Dtype::kFloat32) return put(values);
  std::vector<uint16_t> rounded;
  rounded.reserve(values.size());
  for (const float value : values) rounded.push_back(float_to_bfloat16(value));
  const std::span<uint16_t> to = memory_.take<uint16_t>(rounded.size());
  gpu_.copy_in(std::span<const uint16_t>(rounded), to.data());
  return to.data();
}

Norm Weights::put(const LayerNormWeights& w) { return {put(w.gamma), put(w.beta)}; }

Linear Weights::put(const LinearTensors& layer, torch::Dtype type) {
  const void* bias = layer.bias.empty() ? nullptr : put(layer.bias, type);
  return {type, layer.inputs, layer.outputs, put(layer.weight, type), bias};
}

Block Weights::put(const BlockTensors& b, torch::Dtype type) {
  return {put(b.ln_1), put(b.ln_2), put(b.in_proj, type), put(b.out_proj, type), put(b.c_fc, type), put(b.c_proj, type)};
}

}  // namespace clip_es::cuda
