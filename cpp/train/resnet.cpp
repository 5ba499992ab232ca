#include "resnet.h"

#include "convolution.h"

namespace clip_es::train {
namespace {

using torch::Tensor;

struct BottleneckOptions {
  int64_t from, middle, stride, dilation;
};

class Bottleneck : public torch::nn::Module {
 public:
  Bottleneck(const BottleneckOptions& o, WeightStyle style)
      : conv1_(register_module("conv1", convolution({o.from, o.middle, 1, style == WeightStyle::kCaffe ? o.stride : 1}))),
        bn1_(register_module("bn1", FrozenBatchNorm(o.middle))),
        conv2_(register_module("conv2", convolution({o.middle, o.middle, 3, style == WeightStyle::kCaffe ? 1 : o.stride, o.dilation}))),
        bn2_(register_module("bn2", FrozenBatchNorm(o.middle))),
        conv3_(register_module("conv3", convolution({o.middle, 4 * o.middle, 1}))),
        bn3_(register_module("bn3", FrozenBatchNorm(4 * o.middle))) {
    if (o.stride != 1 || o.from != 4 * o.middle)
      downsample_ = register_module("downsample",
                                    torch::nn::Sequential(convolution({o.from, 4 * o.middle, 1, o.stride}), FrozenBatchNorm(4 * o.middle)));
  }

  Tensor forward(const Tensor& x) {
    const Tensor y = torch::relu(bn2_(conv2_(torch::relu(bn1_(conv1_(x))))));
    return torch::relu(bn3_(conv3_(y)) + (downsample_.is_empty() ? x : downsample_->forward(x)));
  }

 private:
  torch::nn::Conv2d conv1_;
  FrozenBatchNorm bn1_;
  torch::nn::Conv2d conv2_;
  FrozenBatchNorm bn2_;
  torch::nn::Conv2d conv3_;
  FrozenBatchNorm bn3_;
  torch::nn::Sequential downsample_{nullptr};
};

torch::nn::Sequential layer(int blocks, BottleneckOptions options, WeightStyle style) {
  torch::nn::Sequential modules;
  for (int i = 0; i < blocks; ++i) {
    modules->push_back(Bottleneck(options, style));
    options.from = 4 * options.middle;
    options.stride = 1;
  }
  return modules;
}

}  // namespace

FrozenBatchNormImpl::FrozenBatchNormImpl(int64_t channels)
    : weight_(register_buffer("weight", torch::ones(channels))),
      bias_(register_buffer("bias", torch::zeros(channels))),
      mean_(register_buffer("running_mean", torch::zeros(channels))),
      variance_(register_buffer("running_var", torch::ones(channels))) {}

Tensor FrozenBatchNormImpl::forward(const Tensor& x) {
  constexpr double kEpsilon = 1e-5;
  const Tensor factor = weight_ * torch::rsqrt(variance_ + kEpsilon);
  const Tensor shift = bias_ - mean_ * factor;
  return torch::addcmul(shift.view({1, -1, 1, 1}), x, factor.view({1, -1, 1, 1}));
}

ResNetImpl::ResNetImpl(const BlockCounts& blocks, WeightStyle style)
    : conv1_(register_module("conv1", convolution({3, 64, 7, 2}))),
      bn1_(register_module("bn1", FrozenBatchNorm(64))),
      layer1_(register_module("layer1", layer(blocks[0], {64, 64, 1, 1}, style))),
      layer2_(register_module("layer2", layer(blocks[1], {256, 128, 2, 1}, style))),
      layer3_(register_module("layer3", layer(blocks[2], {512, 256, 1, 2}, style))),
      layer4_(register_module("layer4", layer(blocks[3], {1024, 512, 1, 4}, style))),
      ceil_(style == WeightStyle::kCaffe) {
  initialise_convolutions(*this);
}

Tensor ResNetImpl::forward(const Tensor& images) {
  const Tensor x = torch::max_pool2d(torch::relu(bn1_(conv1_(images))), 3, 2, 1, 1, ceil_);
  return layer4_->forward(layer3_->forward(layer2_->forward(layer1_->forward(x))));
}

}  // namespace clip_es::train
