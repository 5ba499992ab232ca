#include "device/cuda/weights.h"

#include <bit>

namespace clip_es::cuda {
namespace {

// Rounds to nearest, ties to even. value must be finite.
uint16_t to_bfloat16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

// (3, 256): every byte normalised, with the same float32 operations in the same order as ops::extract_patches and torchvision.
std::vector<float> make_pixel_values(const Model& model) {
  std::vector<float> values;
  for (size_t c = 0; c < 3; ++c)
    for (int byte = 0; byte < 256; ++byte) values.push_back((static_cast<float>(byte) / 255.0f - model.mean[c]) / model.std[c]);
  return values;
}

}  // namespace

Weights::Weights(const std::shared_ptr<Gpu>& gpu, const Model& model, const GradCamWeights& gradcam, torch::Dtype dtype)
    : gpu_(*gpu), memory_(Gpu::memory(gpu)) {
  patch_embedding = put(model.patch_embedding, torch::Dtype::kFloat32);
  class_embedding = put(model.class_embedding);
  positions = put(model.positional_embedding);
  projection = put(model.image_projection);
  pixel_values = put(make_pixel_values(model));
  ln_pre = put(model.ln_pre);
  ln_post = put(model.ln_post);
  for (const BlockWeights& b : model.image_blocks) {
    // GradCAM differentiates through the last block, so it stays in float32 in every precision.
    const torch::Dtype block_dtype = &b == &model.image_blocks.back() ? torch::Dtype::kFloat32 : dtype;
    blocks.push_back({put(b.ln_1), put(b.ln_2), put(b.in_proj, block_dtype), put(b.out_proj, block_dtype), put(b.c_fc, block_dtype),
                      put(b.c_proj, block_dtype)});
  }
  composite = {torch::Dtype::kFloat32, static_cast<int64_t>(gradcam.fc_gamma.size()), model.image.width, put(gradcam.composite), nullptr};
  fc_gamma = put(gradcam.fc_gamma);
  fc_offset = put(gradcam.fc_offset);
  out_proj_column_sums = put(gradcam.out_proj_column_sums);
}

const float* Weights::put(std::span<const float> values) {
  const std::span<float> to = memory_.take<float>(values.size());
  gpu_.copy_in(values, to.data());
  return to.data();
}

const void* Weights::put(std::span<const float> values, torch::Dtype dtype) {
  if (dtype == torch::Dtype::kFloat32) return put(values);
  std::vector<uint16_t> rounded;
  rounded.reserve(values.size());
  for (const float value : values) rounded.push_back(to_bfloat16(value));
  const std::span<uint16_t> to = memory_.take<uint16_t>(rounded.size());
  gpu_.copy_in(std::span<const uint16_t>(rounded), to.data());
  return to.data();
}

Norm Weights::put(const LayerNormWeights& w) { return {put(w.gamma), put(w.beta)}; }

Linear Weights::put(const torch::Linear& layer, torch::Dtype dtype) {
  const auto size = static_cast<size_t>(layer.outputs() * layer.inputs());
  const void* bias = layer.bias() ? put(std::span(layer.bias(), static_cast<size_t>(layer.outputs())), dtype) : nullptr;
  return {dtype, layer.inputs(), layer.outputs(), put(std::span(layer.weight(), size), dtype), bias};
}

}  // namespace clip_es::cuda
