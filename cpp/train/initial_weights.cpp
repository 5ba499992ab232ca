#include "initial_weights.h"

#include <regex>

#include "archive/archive.h"
#include "core/error.h"
#include "safetensors.h"

namespace clip_es::train {
namespace {

// What programs put before the names of a state dict.
constexpr std::string_view kPrefixes[] = {"module.", "base.", "Scale.", "scale.", "model.", "state_dict."};

std::string without_prefixes(std::string name) {
  for (bool found = true; found;) {
    found = false;
    for (const std::string_view prefix : kPrefixes)
      if (name.starts_with(prefix)) {
        name.erase(0, prefix.size());
        found = true;
      }
  }
  return name;
}

// layer1.conv1.conv.weight, layer2.block1.conv3x3.bn.bias, …: the names of Caffe's DeepLab in PyTorch conversions. Here layer1 is the stem.
const std::regex kCaffeStem("layer1\\.conv1\\.(conv|bn)\\.(.+)");
const std::regex kCaffeBlock("layer([2-5])\\.block([0-9]{1,3})\\.(reduce|conv3x3|increase|shortcut)\\.(conv|bn)\\.(.+)");
const std::regex kCaffeHead("layer5\\.conv2d_list\\.([0-3])\\.(weight|bias)");
const std::regex kTorchvision("(conv1|bn1|layer[1-4])\\..+");

std::string name_of_caffe_block(const std::smatch& match) {
  const std::string block =
      "backbone.layer" + std::to_string(std::stoi(match[1]) - 1) + "." + std::to_string(std::stoi(match[2]) - 1) + ".";
  const std::string part = match[3], kind = match[4], rest = match[5];
  if (part == "shortcut") return block + "downsample." + (kind == "conv" ? "0." : "1.") + rest;
  return block + kind + (part == "reduce" ? "1." : part == "conv3x3" ? "2." : "3.") + rest;
}

bool is_caffe_name(const std::string& name) {
  const std::string bare = without_prefixes(name);
  return std::regex_match(bare, kCaffeStem) || std::regex_match(bare, kCaffeBlock) || std::regex_match(bare, kCaffeHead);
}

std::map<std::string, torch::Tensor> read_archive(const std::string& path) {
  const Archive archive(path);
  std::map<std::string, torch::Tensor> tensors;
  for (const auto& [name, info] : archive.tensors()) {
    if (info.dtype > DType::kFloat64) continue;  // counters of batch norm
    torch::Tensor tensor = torch::empty(info.shape, torch::kFloat32);
    archive.read(name, {tensor.data_ptr<float>(), static_cast<size_t>(tensor.numel())});
    tensors.emplace(name, tensor);
  }
  return tensors;
}

std::string shape_of(const torch::Tensor& tensor) {
  return clip_es::to_string(std::span<const int64_t>(tensor.sizes().data(), tensor.sizes().size()));
}

}  // namespace

std::string own_name(const std::string& name) {
  const std::string bare = without_prefixes(name);
  std::smatch match;
  if (std::regex_match(bare, match, kCaffeStem)) return "backbone." + match[1].str() + "1." + match[2].str();
  if (std::regex_match(bare, match, kCaffeBlock)) return name_of_caffe_block(match);
  if (std::regex_match(bare, match, kCaffeHead)) return "aspp.c" + match[1].str() + "." + match[2].str();
  if (std::regex_match(bare, kTorchvision)) return "backbone." + bare;
  return bare.starts_with("fc.") ? "" : bare;  // the ImageNet classes
}

InitialWeights read_initial_weights(const std::string& path) {
  InitialWeights weights{path, WeightStyle::kTorchvision, {}};
  Safetensors file;
  if (is_safetensors(path)) file = read_safetensors(path);
  else file.tensors = read_archive(path);
  const auto style = file.metadata.find("style");
  for (const auto& [name, tensor] : file.tensors) {
    if (style == file.metadata.end() && is_caffe_name(name)) weights.style = WeightStyle::kCaffe;
    if (const std::string own = own_name(name); !own.empty()) weights.tensors.emplace(own, tensor);
  }
  if (style != file.metadata.end() && style->second == to_string(WeightStyle::kCaffe)) weights.style = WeightStyle::kCaffe;
  return weights;
}

void load_initial_weights(Network& network, const std::string& network_name, const InitialWeights& weights) {
  const torch::NoGradGuard no_gradient;
  for (auto& [name, tensor] : state_of(network)) {
    const auto found = weights.tensors.find(name);
    const bool there = found != weights.tensors.end();
    if (there && found->second.sizes() == tensor.sizes()) tensor.copy_(found->second);
    else if (!network.is_head(name) && !name.ends_with("num_batches_tracked"))
      throw Error(ErrorCode::kModelFormat,
                  weights.path + " cannot initialise the network " + network_name + ": tensor " + name + " of shape " + shape_of(tensor) +
                      (there ? " is " + shape_of(found->second) : " is missing") + "; use weights of the same network");
  }
}

}  // namespace clip_es::train
