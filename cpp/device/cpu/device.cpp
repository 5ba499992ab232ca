#include "device/cpu/device.h"

#include <algorithm>

#include "cam/embeddings.h"
#include "cam/last_block_forward.h"
#include "cam/patch_features.h"
#include "cam/softmax_gradcam.h"
#include "clip/preprocess.h"
#include "device/cpu/memory.h"

namespace clip_es::cpu {

void CpuDevice::load(HostContext& host, const ModelSource& source, Precision precision) {
  model_ = source.model();
  weights_ = make_weights(host, source, precision);
}

void CpuDevice::share(std::shared_ptr<const Model> model, std::shared_ptr<const DeviceWeights> weights) {
  model_ = std::move(model);
  weights_ = std::static_pointer_cast<const Weights>(std::move(weights));
}

std::unique_ptr<Device> CpuDevice::clone(Arena& host) const {
  auto other = std::make_unique<CpuDevice>(host);
  other->share(model_, weights_);
  return other;
}

size_t CpuDevice::start_timer() {
  timers_.emplace_back(Clock::now(), Clock::time_point{});
  return timers_.size() - 1;
}

double CpuDevice::elapsed(size_t timer) const {
  return std::chrono::duration<double>(timers_[timer].second - timers_[timer].first).count();
}

void CpuDevice::preprocess(DeviceContext& c, HostSpan<const Image> images, int64_t max_side, DeviceSpan<float> patches) {
  HostContext host = on_host(c);
  for (const Image& image : images) {
    host.checkpoint();
    const size_t count = patch_grid(image.size(), model_->shape.patch, max_side).patches() * model_->patch_values();
    clip_es::preprocess(host, *model_, image, max_side, cpu::on_host(patches.first(count)));
    patches = patches.subspan(count);
  }
}

void CpuDevice::encode_images(DeviceContext& c, HostSpan<const Grid> grids, DeviceSpan<const float> patches, DeviceSpan<float> tokens,
                              HostSpan<const DeviceSpan<float>> mean_attention) {
  HostContext host = on_host(c);
  Arena::Scope scope(host_);
  const auto means = host_.take<HostSpan<float>>(mean_attention.size());
  std::ranges::transform(mean_attention, means.begin(), [](const auto& mean) { return cpu::on_host(mean); });
  clip_es::encode_images(host, *model_, weights_->tower, grids, cpu::on_host(patches), cpu::on_host(tokens), means);
}

void CpuDevice::run_last_block(DeviceContext& c, DeviceSpan<const float> tokens, HostSpan<const DeviceLastBlock> images,
                               HostSpan<const DeviceSpan<float>> mean_attention) {
  HostContext host = on_host(c);
  Arena::Scope scope(host_);
  const auto means = host_.take<HostSpan<float>>(mean_attention.size());
  const auto blocks = host_.take<HostLastBlock>(images.size());
  std::ranges::transform(mean_attention, means.begin(), [](const auto& mean) { return cpu::on_host(mean); });
  std::ranges::transform(images, blocks.begin(), [](const auto& block) { return cpu::on_host(block); });
  clip_es::run_last_block(host, *model_, weights_->last_block, cpu::on_host(tokens), blocks, means);
}

void CpuDevice::softmax_gradcam(DeviceContext& c, HostSpan<const GradCamOfPhoto> photos) {
  HostContext host = on_host(c);
  for (const GradCamOfPhoto& photo : photos) {
    Arena::Scope scope(host_);
    const int64_t texts = count_texts(photo.texts, model_->shape.embedding);
    const auto logits = host_.take<float>(texts), probabilities = host_.take<float>(texts);
    clip_es::softmax_gradcam(host, *model_, weights_->last_block, cpu::on_host(photo.last_block), photo.texts, logits, probabilities,
                             cpu::on_host(photo.cams));
    std::ranges::copy(logits.first(photo.logits.size()), photo.logits.begin());
    std::ranges::copy(probabilities.first(photo.probabilities.size()), photo.probabilities.begin());
  }
}

void CpuDevice::box_mask(DeviceContext& c, HostSpan<const BoxesOfPhoto> photos) {
  HostContext host = on_host(c);
  for (const BoxesOfPhoto& photo : photos) clip_es::box_mask(host, cpu::on_host(photo.cams), photo.settings, cpu::on_host(photo.boxes));
}

void CpuDevice::refine_cams(DeviceContext& c, HostSpan<const RefinementOfPhoto> photos) {
  HostContext host = on_host(c);
  for (const RefinementOfPhoto& photo : photos)
    clip_es::refine_cams(host, cpu::on_host(photo.attention), cpu::on_host(photo.cams), cpu::on_host(photo.boxes), photo.settings,
                         cpu::on_host(photo.refined));
}

void CpuDevice::make_pseudo_mask(DeviceContext& c, HostSpan<const MaskOfPhoto> photos) {
  HostContext host = on_host(c);
  for (const MaskOfPhoto& photo : photos)
    clip_es::make_pseudo_mask(host, cpu::on_host(photo.maps), photo.value, photo.size, photo.settings, photo.outputs);
}

void CpuDevice::score_pixels(DeviceContext& c, const DeviceMaps& maps, const PhotoSize& size, HostSpan<float> scores) {
  HostContext host = on_host(c);
  clip_es::score_pixels(host, cpu::on_host(maps), size, scores.data());
}

void CpuDevice::patch_features(DeviceContext& c, const SimilaritySettings& settings, const Windows& windows,
                               DeviceSpan<const float> patches, HostSpan<float> features, HostSpan<float> mean_attention) {
  HostContext host = on_host(c);
  clip_es::patch_features(host, *model_, {weights_->tower, weights_->last_block}, settings, windows, cpu::on_host(patches), features,
                          mean_attention);
}

void CpuDevice::embeddings(DeviceContext& c, const DeviceLastBlock& last, HostSpan<float> image, HostSpan<float> patches) {
  HostContext host = on_host(c);
  Arena::Scope scope(host_);
  const auto embedding = host_.take<double>(model_->shape.embedding);
  image_embedding(*model_, cpu::on_host(last), embedding);
  std::ranges::copy(embedding, image.begin());
  if (!patches.empty()) patch_embeddings(host, *model_, cpu::on_host(last), patches);
}

void CpuDevice::copy_to_host(DeviceSpan<const float> from, HostSpan<float> to) { std::ranges::copy(cpu::on_host(from), to.begin()); }

}  // namespace clip_es::cpu
