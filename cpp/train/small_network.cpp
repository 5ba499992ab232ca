#include "small_network.h"

#include "convolution.h"

namespace clip_es::train {
namespace {

namespace F = torch::nn::functional;
using torch::Tensor;

// Convolution, batch norm, ReLU.
torch::nn::Sequential layer(int64_t from, int64_t to, int64_t stride = 1) {
  return torch::nn::Sequential(convolution({from, to, 3, stride}), torch::nn::BatchNorm2d(to), torch::nn::ReLU());
}

// Two 3 x 3 convolutions, added to their input.
class Block : public torch::nn::Module {
 public:
  Block(int64_t channels, int64_t dilation)
      : conv1_(register_module("conv1", convolution({channels, channels, 3, 1, dilation}))),
        norm1_(register_module("bn1", torch::nn::BatchNorm2d(channels))),
        conv2_(register_module("conv2", convolution({channels, channels, 3, 1, dilation}))),
        norm2_(register_module("bn2", torch::nn::BatchNorm2d(channels))) {
    torch::nn::init::zeros_(norm2_->weight);  // at first the block is the identity, which speeds up the start
  }

  Tensor forward(const Tensor& x) { return torch::relu(x + norm2_(conv2_(torch::relu(norm1_(conv1_(x)))))); }

 private:
  torch::nn::Conv2d conv1_;
  torch::nn::BatchNorm2d norm1_;
  torch::nn::Conv2d conv2_;
  torch::nn::BatchNorm2d norm2_;
};

torch::nn::Sequential stage(int64_t from, int64_t to, int blocks) {
  torch::nn::Sequential modules = layer(from, to, 2);
  for (int i = 0; i < blocks; ++i) modules->push_back(Block(to, 1));
  return modules;
}

Tensor resize_to(const Tensor& x, const Tensor& like) {
  const std::vector<int64_t> size{like.size(2), like.size(3)};
  return F::interpolate(x, F::InterpolateFuncOptions().size(size).mode(torch::kBilinear).align_corners(false));
}

}  // namespace

SmallNetwork::SmallNetwork(int64_t classes)
    : stem_(register_module("stem", layer(3, 32, 2))),
      stage4_(register_module("stage4", stage(32, 64, 1))),
      stage8_(register_module("stage8", stage(64, 128, 2))),
      context_(register_module("context", torch::nn::Sequential(Block(128, 2), Block(128, 4)))),
      fuse4_(register_module("fuse4", layer(64, 32))),
      fuse2_(register_module("fuse2", layer(32, 32))),
      summary_(register_module("summary", torch::nn::Conv2d(torch::nn::Conv2dOptions(128, 128, 1)))),
      skip8_(register_module("skip8", convolution({128, 64, 1}))),
      skip4_(register_module("skip4", convolution({64, 64, 1}))),
      skip2_(register_module("skip2", convolution({32, 32, 1}))),
      classifier_(register_module("classifier", torch::nn::Conv2d(torch::nn::Conv2dOptions(32, classes, 1)))) {
  initialise_convolutions(*this);
  torch::nn::init::normal_(classifier_->weight, 0, 0.01);
  torch::nn::init::zeros_(classifier_->bias);
}

Tensor SmallNetwork::logits(const Tensor& images) {
  const Tensor x2 = stem_->forward(images);
  const Tensor x4 = stage4_->forward(x2);
  const Tensor x8 = context_->forward(stage8_->forward(x4));
  const Tensor seen = x8 + summary_(x8.mean({2, 3}, true));  // every pixel knows what is in the photo
  const Tensor y4 = fuse4_->forward(resize_to(skip8_(seen), x4) + skip4_(x4));
  const Tensor y2 = fuse2_->forward(resize_to(y4, x2) + skip2_(x2));
  return classifier_(y2);
}

}  // namespace clip_es::train
