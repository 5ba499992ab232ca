// The weights that a training starts from: ImageNet or COCO weights, or those of an earlier run.
#pragma once
#include "network.h"

namespace clip_es::train {

struct InitialWeights {
  std::string path;
  WeightStyle style;
  std::map<std::string, torch::Tensor> tensors;  // with this program's names
};

// Reads a safetensors file, or a .pth file of torch.save whose pickle is only interpreted: no code of the file runs. Names of torchvision's
// ResNets and of Caffe's, as converted for PyTorch, become this program's names. Throws Error kIo, kModelRead or kModelFormat.
InitialWeights read_initial_weights(const std::string& path);

// This program's name for a tensor of another program, without knowing the network; "" for tensors that no network here has.
std::string own_name(const std::string& name);

// Copies the weights. The head keeps its random weights if it is missing or has another number of classes. Throws Error kModelFormat when
// another tensor of the network is missing or has another shape.
void load_initial_weights(Network& network, const std::string& network_name, const InitialWeights& weights);

}  // namespace clip_es::train
