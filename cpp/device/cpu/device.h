// The stages on the processor: the free functions of the same names.
#pragma once
#include <chrono>
#include <memory>

#include "device/device.h"

namespace clip_es {

class CpuDevice : public Device {
 public:
  explicit CpuDevice(Arena& host) : arena_(host) {}

  std::string name() const override { return "cpu"; }
  Arena& arena() override { return arena_; }
  MemorySource memory() const override { return host_memory(); }
  size_t bytes() const override { return 0; }
  Precision reads(Precision precision) const override { return precision; }
  void load(HostContext& host, Model&, Precision) override;
  std::unique_ptr<Device> beside(Arena& host) const override;
  void enter() override {}
  void finish() override {}
  void wait() override {}
  void start(double& seconds) override;
  void stop() override;

  void preprocess(HostContext&, const Image&, int64_t max_side, float* patches) override;
  void encode_images(HostContext&, std::span<const Grid>, const float* patches, float* tokens,
                     std::span<float* const> mean_attention) override;
  void run_last_block(HostContext&, const float* tokens, std::span<LastBlock>, std::span<float* const> mean_attention) override;
  void softmax_gradcam(HostContext&, const LastBlock&, const LabelTexts&, float* logits, float* probabilities, float* cams) override;
  void box_mask(HostContext&, const float* cams, int64_t labels, const Grid&, const BoxSettings&, uint8_t* boxes) override;
  void refine_cams(HostContext&, const float* attention, int64_t patches, const float* cams, const uint8_t* boxes, int64_t labels,
                   const AffinitySettings&, float* refined) override;
  void make_pseudo_mask(HostContext&, float* maps, const Grid&, std::span<const uint8_t> value, int64_t width, int64_t height,
                        const MaskSettings&, const MaskOutputs& host) override;
  void score_labels(HostContext&, float* maps, const Grid&, int64_t labels, int64_t width, int64_t height, const MaskSettings&,
                    float* host_scores) override;
  void embeddings(HostContext&, const LastBlock&, float* host_image, float* host_patches) override;
  void copy_out(const float* from, int64_t count, float* host) override;

 private:
  using Clock = std::chrono::steady_clock;

  Arena& arena_;
  const Model* model_ = nullptr;
  std::shared_ptr<const GradCamWeights> gradcam_weights_;
  double* seconds_ = nullptr;
  Clock::time_point started_;
};

}  // namespace clip_es
