// DeepLabV2 (arXiv 1606.00915): a ResNet with output stride 8 and atrous spatial pyramid pooling (ASPP).
#pragma once
#include "network.h"
#include "resnet.h"

namespace clip_es::train {

// The names of the weights: backbone.NAME as in torchvision's ResNet, and aspp.c0 to aspp.c3.
class DeepLabV2 : public Network {
 public:
  DeepLabV2(const BlockCounts& blocks, int64_t classes, WeightStyle style);

  torch::Tensor logits(const torch::Tensor& images) override;  // 1/8 of the size
  bool is_head(const std::string& name) const override { return name.starts_with("aspp."); }

 private:
  ResNet backbone_;
  torch::nn::ModuleDict aspp_;
};

}  // namespace clip_es::train
