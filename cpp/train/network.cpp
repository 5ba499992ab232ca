#include "network.h"

#include "core/error.h"
#include "deeplab.h"
#include "small_network.h"

namespace clip_es::train {

std::shared_ptr<Network> make_network(const std::string& name, int64_t classes, WeightStyle style, uint64_t seed) {
  torch::manual_seed(seed);
  if (name == "small") return std::make_shared<SmallNetwork>(classes);
  if (name == "deeplabv2-resnet50") return std::make_shared<DeepLabV2>(kResNet50, classes, style);
  if (name == "deeplabv2-resnet101") return std::make_shared<DeepLabV2>(kResNet101, classes, style);
  throw Error(ErrorCode::kInvalidArg,
              "'" + name + "' is not a network; the networks are small, deeplabv2-resnet50 and deeplabv2-resnet101");
}

std::vector<torch::Tensor> training_logits(Network& network, const torch::Tensor& images, const std::vector<double>& scales) {
  namespace F = torch::nn::functional;
  std::vector<torch::Tensor> all{network.logits(images)};
  if (scales.empty()) return all;
  torch::Tensor maximum = all[0];
  for (const double scale : scales) {
    const auto half = F::InterpolateFuncOptions().mode(torch::kBilinear).align_corners(false);
    const std::vector<int64_t> size{std::max<int64_t>(1, static_cast<int64_t>(static_cast<double>(images.size(2)) * scale)),
                                    std::max<int64_t>(1, static_cast<int64_t>(static_cast<double>(images.size(3)) * scale))};
    all.push_back(network.logits(F::interpolate(images, F::InterpolateFuncOptions(half).size(size))));
    const std::vector<int64_t> full{all[0].size(2), all[0].size(3)};
    maximum = torch::maximum(maximum, F::interpolate(all.back(), F::InterpolateFuncOptions(half).size(full)));
  }
  all.push_back(maximum);
  return all;
}

std::map<std::string, torch::Tensor> state_of(const Network& network) {
  std::map<std::string, torch::Tensor> state;
  for (const auto& item : network.named_parameters()) state.emplace(item.key(), item.value());
  for (const auto& item : network.named_buffers()) state.emplace(item.key(), item.value());
  return state;
}

}  // namespace clip_es::train
