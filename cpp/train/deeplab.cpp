#include "deeplab.h"

namespace clip_es::train {
namespace {

constexpr int64_t kDilations[] = {6, 12, 18, 24};

}  // namespace

DeepLabV2::DeepLabV2(const BlockCounts& blocks, int64_t classes, WeightStyle style)
    : backbone_(register_module("backbone", ResNet(blocks, style))), aspp_(register_module("aspp", torch::nn::ModuleDict())) {
  torch::OrderedDict<std::string, std::shared_ptr<torch::nn::Module>> branches;
  for (size_t i = 0; i < std::size(kDilations); ++i) {
    const auto options = torch::nn::Conv2dOptions(kResNetChannels, classes, 3).padding(kDilations[i]).dilation(kDilations[i]);
    torch::nn::Conv2d branch(options);
    torch::nn::init::normal_(branch->weight, 0, 0.01);
    torch::nn::init::zeros_(branch->bias);
    branches.insert("c" + std::to_string(i), branch.ptr());
  }
  aspp_->update(branches);
}

torch::Tensor DeepLabV2::logits(const torch::Tensor& images) {
  const torch::Tensor features = backbone_->forward(images);
  torch::Tensor sum;
  for (const auto& branch : aspp_->items()) {
    const torch::Tensor logits = branch.second->as<torch::nn::Conv2d>()->forward(features);
    sum = sum.defined() ? sum + logits : logits;
  }
  return sum;
}

}  // namespace clip_es::train
