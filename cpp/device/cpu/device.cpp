#include "device/cpu/device.h"

#include <algorithm>

#include "cam/embeddings.h"
#include "clip/image_tower.h"

namespace clip_es {

void CpuDevice::load(HostContext& host, Model& model, Precision precision) {
  model_ = &model;
  // Integers are too coarse for what GradCAM differentiates through, and for attention.
  const Precision exact = precision == Precision::kInt8 ? Precision::kBFloat16 : precision;
  model.image.attention = exact;
  auto weights = std::make_shared<GradCamWeights>(host, model);
  weights->pack(model, exact);
  gradcam_weights_ = std::move(weights);
  const auto pack = [](BlockWeights& block, Precision own) {
    for (Linear* layer : {&block.in_proj, &block.out_proj, &block.c_fc, &block.c_proj}) layer->pack(own);
  };
  model.patch_embedding.pack(exact);
  pack(model.image_blocks.back(), exact);
  if (precision == Precision::kFloat32)  // the others were packed when they were read
    for (size_t i = 0; i + 1 < model.image_blocks.size(); ++i) pack(model.image_blocks[i], precision);
}

std::unique_ptr<Device> CpuDevice::beside(Arena& host) const {
  auto other = std::make_unique<CpuDevice>(host);
  other->model_ = model_;
  other->gradcam_weights_ = gradcam_weights_;
  return other;
}

void CpuDevice::start(double& seconds) {
  seconds_ = &seconds;
  started_ = Clock::now();
}

void CpuDevice::stop() { *seconds_ += std::chrono::duration<double>(Clock::now() - started_).count(); }

void CpuDevice::preprocess(HostContext& c, const Image& image, int64_t max_side, float* patches) {
  clip_es::preprocess(c, *model_, image, max_side, patches);
}

void CpuDevice::encode_images(HostContext& c, std::span<const Grid> grids, const float* patches, float* tokens,
                              std::span<float* const> mean_attention) {
  clip_es::encode_images(c, *model_, grids, patches, tokens, mean_attention);
}

void CpuDevice::run_last_block(HostContext& c, const float* tokens, std::span<LastBlock> images, std::span<float* const> mean_attention) {
  clip_es::run_last_block(c, *model_, *gradcam_weights_, tokens, images, mean_attention);
}

void CpuDevice::softmax_gradcam(HostContext& c, const LastBlock& last, const LabelTexts& texts, float* logits, float* probabilities,
                                float* cams) {
  clip_es::softmax_gradcam(c, *model_, *gradcam_weights_, last, texts, logits, probabilities, cams);
}

void CpuDevice::box_mask(HostContext& c, const float* cams, int64_t labels, const Grid& grid, const BoxSettings& settings, uint8_t* boxes) {
  for (int64_t k = 0; k < labels; ++k)
    clip_es::box_mask(c, cams + k * grid.patches(), grid.height, grid.width, settings, boxes + k * grid.patches());
}

void CpuDevice::refine_cams(HostContext& c, const float* attention, int64_t patches, const float* cams, const uint8_t* boxes,
                            int64_t labels, const AffinitySettings& settings, float* refined) {
  clip_es::refine_cams(c, attention, patches, cams, boxes, labels, settings, refined);
}

void CpuDevice::make_pseudo_mask(HostContext& c, float* maps, const Grid& grid, std::span<const uint8_t> value, int64_t width,
                                 int64_t height, const MaskSettings& settings, const MaskOutputs& host) {
  clip_es::make_pseudo_mask(c, maps, grid, value, width, height, settings, host);
}

void CpuDevice::score_labels(HostContext& c, float* maps, const Grid& grid, int64_t labels, int64_t width, int64_t height,
                             const MaskSettings& settings, float* host_scores) {
  clip_es::score_labels(c, maps, grid, labels, width, height, settings, host_scores);
}

void CpuDevice::embeddings(HostContext& c, const LastBlock& last, float* host_image, float* host_patches) {
  Arena::Scope scope(c.arena);
  const auto embedding = c.arena.take<double>(static_cast<size_t>(model_->shape.embedding));
  image_embedding(*model_, last, embedding);
  std::copy(embedding.begin(), embedding.end(), host_image);
  if (host_patches) patch_embeddings(c, *model_, last, host_patches);
}

void CpuDevice::copy_out(const float* from, int64_t count, float* host) { std::copy_n(from, count, host); }

}  // namespace clip_es
