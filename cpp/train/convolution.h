// The convolution of all networks: padded so that only the stride changes the size, without a bias.
#pragma once
#include <torch/torch.h>

namespace clip_es::train {

struct ConvolutionOptions {
  int64_t from, to, kernel, stride = 1, dilation = 1;
};

inline torch::nn::Conv2d convolution(const ConvolutionOptions& o) {
  return torch::nn::Conv2d(torch::nn::Conv2dOptions(o.from, o.to, o.kernel)
                               .stride(o.stride)
                               .padding(o.dilation * (o.kernel / 2))
                               .dilation(o.dilation)
                               .bias(false));
}

// He's initialisation of all convolutions below a module.
inline void initialise_convolutions(torch::nn::Module& network) {
  for (const auto& module : network.modules(false))
    if (auto* conv = module->as<torch::nn::Conv2d>()) torch::nn::init::kaiming_normal_(conv->weight, 0, torch::kFanOut, torch::kReLU);
}

}  // namespace clip_es::train
