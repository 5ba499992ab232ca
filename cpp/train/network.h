// What all segmentation networks have in common.
#pragma once
#include <torch/torch.h>

#include <memory>
#include <string>
#include <vector>

#include "job.h"
#include "normalisation.h"

namespace clip_es::train {

class Network : public torch::nn::Module {
 public:
  // images (batch, 3, H, W) -> logits (batch, classes, h, w), where h x w is H x W or smaller.
  virtual torch::Tensor logits(const torch::Tensor& images) = 0;

  // Whether a parameter belongs to the head: the layers that know the classes, which are always trained from random weights.
  virtual bool is_head(const std::string& name) const = 0;
};

// Names for `network.name` in a job: small, deeplabv2-resnet50, deeplabv2-resnet101. The weights are random: they depend on the seed only.
// Throws Error kInvalidArg for another name.
std::shared_ptr<Network> make_network(const std::string& name, int64_t classes, WeightStyle style, uint64_t seed);

// The logits that the loss is computed of. Without scales these are the network's. With scales (DeepLabV2's multi-scale inputs, MSC) they
// are those at full size, those of each scaled input, and the maximum of all of them at full size; the loss is the sum over them.
std::vector<torch::Tensor> training_logits(Network& network, const torch::Tensor& images, const std::vector<double>& scales);

// All weights and buffers by name, in the order of the names.
std::map<std::string, torch::Tensor> state_of(const Network& network);

}  // namespace clip_es::train
