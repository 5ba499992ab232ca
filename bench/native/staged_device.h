// A CUDA device whose stages run inside a function of the caller, which can count what each stage queues.
#pragma once
#include <functional>
#include <memory>
#include <utility>

#include "device/cuda/device.h"

class StagedDevice : public clip_es::cuda::CudaDevice {
 public:
  // Called for each stage of a photo or batch. It must call work() once.
  using RunStage = std::function<void(const char* stage, const std::function<void()>& work)>;

  StagedDevice(std::shared_ptr<clip_es::cuda::Gpu> gpu, RunStage run) : CudaDevice(std::move(gpu)), run_(std::move(run)) {}

  void preprocess(clip_es::DeviceContext& c, clip_es::HostSpan<const clip_es::Image> images, int64_t max_side,
                  clip_es::DeviceSpan<float> patches) override {
    run_("preprocess", [&] { CudaDevice::preprocess(c, images, max_side, patches); });
  }
  void encode_images(clip_es::DeviceContext& c, clip_es::HostSpan<const clip_es::Grid> grids, clip_es::DeviceSpan<const float> patches,
                     clip_es::DeviceSpan<float> tokens, clip_es::HostSpan<const clip_es::DeviceSpan<float>> means) override {
    run_("blocks", [&] { CudaDevice::encode_images(c, grids, patches, tokens, means); });
  }
  void run_last_block(clip_es::DeviceContext& c, clip_es::DeviceSpan<const float> tokens,
                      clip_es::HostSpan<const clip_es::DeviceLastBlock> images,
                      clip_es::HostSpan<const clip_es::DeviceSpan<float>> means) override {
    run_("last block", [&] { CudaDevice::run_last_block(c, tokens, images, means); });
  }
  void softmax_gradcam(clip_es::DeviceContext& c, clip_es::HostSpan<const clip_es::GradCamOfPhoto> photos) override {
    run_("GradCAM", [&] { CudaDevice::softmax_gradcam(c, photos); });
  }
  void box_mask(clip_es::DeviceContext& c, clip_es::HostSpan<const clip_es::BoxesOfPhoto> photos) override {
    run_("boxes", [&] { CudaDevice::box_mask(c, photos); });
  }
  void refine_cams(clip_es::DeviceContext& c, clip_es::HostSpan<const clip_es::RefinementOfPhoto> photos) override {
    run_("affinity", [&] { CudaDevice::refine_cams(c, photos); });
  }
  void make_pseudo_mask(clip_es::DeviceContext& c, clip_es::HostSpan<const clip_es::MaskOfPhoto> photos) override {
    run_("mask", [&] { CudaDevice::make_pseudo_mask(c, photos); });
  }

 private:
  RunStage run_;
};
