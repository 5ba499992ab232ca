// A network for tests and small machines: 1.4 million parameters, trained from random weights in minutes on a CPU.
#pragma once
#include "network.h"

namespace clip_es::train {

// Residual blocks down to 1/8 of the size, dilated convolutions and the mean of the photo for context, and a decoder that adds the finer
// maps again. Plain 3 x 3 convolutions, because depthwise ones are slow to train on a CPU.
class SmallNetwork : public Network {
 public:
  explicit SmallNetwork(int64_t classes);

  torch::Tensor logits(const torch::Tensor& images) override;  // 1/2 of the size
  bool is_head(const std::string& name) const override { return name.starts_with("classifier."); }

 private:
  torch::nn::Sequential stem_, stage4_, stage8_, context_, fuse4_, fuse2_;
  torch::nn::Conv2d summary_, skip8_, skip4_, skip2_, classifier_;
};

}  // namespace clip_es::train
