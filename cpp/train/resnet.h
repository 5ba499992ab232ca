// ResNet-50 and ResNet-101 with output stride 8. The names of the weights are torchvision's.
#pragma once
#include <array>

#include "frozen_batch_norm.h"
#include "normalisation.h"

namespace clip_es::train {

using BlockCounts = std::array<int, 4>;  // of layer1 to layer4
constexpr BlockCounts kResNet50{3, 4, 6, 3}, kResNet101{3, 4, 23, 3};
constexpr int64_t kResNetChannels = 2048;  // of the result

// layer3 and layer4 have no stride. Instead their 3 x 3 convolutions are dilated by 2 and 4.
class ResNetImpl : public torch::nn::Module {
 public:
  ResNetImpl(const BlockCounts& blocks, WeightStyle style);
  torch::Tensor forward(const torch::Tensor& images);

 private:
  torch::nn::Conv2d conv1_;
  FrozenBatchNorm bn1_;
  torch::nn::Sequential layer1_, layer2_, layer3_, layer4_;
  bool ceil_;  // the pooling keeps an incomplete last window, as in Caffe
};
TORCH_MODULE(ResNet);

}  // namespace clip_es::train
