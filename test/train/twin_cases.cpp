#include "twin_cases.h"

#include "core/json.h"
#include "loss.h"
#include "network.h"
#include "optimiser.h"
#include "safetensors.h"

using namespace clip_es;
using namespace clip_es::train;

namespace {

constexpr double kRate = 0.01;
constexpr int64_t kClasses = 5;

struct TwinCase {
  std::string name, network;
  WeightStyle style;
  std::vector<double> msc;
  ConfidenceMode mode;
  bool balanced;
  std::optional<double> clip;
};

TrainingSettings settings_of(const TwinCase& c) {
  TrainingSettings settings{};
  settings.head_factor = 10;
  settings.head_bias_factor = 20;
  settings.momentum = 0.9;
  settings.weight_decay = 5e-4;
  settings.confidence = c.mode;
  settings.threshold = 0.95;
  settings.balanced = c.balanced;
  settings.clip = c.clip;
  return settings;
}

std::string json_of(const TwinCase& c) {
  const char* modes[] = {"off", "hard", "soft"};
  return Json{{"network", c.network},
              {"classes", kClasses},
              {"style", to_string(c.style)},
              {"msc", c.msc},
              {"rate", kRate},
              {"training",
               {{"headFactor", 10},
                {"headBiasFactor", 20},
                {"momentum", 0.9},
                {"weightDecay", 5e-4},
                {"confidence", {{"mode", modes[static_cast<size_t>(c.mode)]}, {"threshold", 0.95}}},
                {"balanced", c.balanced},
                {"clip", c.clip ? Json(*c.clip) : Json(nullptr)}}}}
      .dump();
}

// Statistics of batch norm as trained weights have them, small enough that no value grows from block to block.
void randomise_buffers(Network& network) {
  for (auto& buffer : network.named_buffers()) {
    if (buffer.key().ends_with("running_var")) buffer.value().copy_(torch::rand_like(buffer.value()) + 0.5);
    else if (buffer.key().ends_with("weight")) buffer.value().copy_(torch::rand_like(buffer.value()) * 0.3 + 0.1);
    else if (buffer.value().is_floating_point()) buffer.value().copy_(torch::randn_like(buffer.value()) * 0.1);
  }
}

void add_state(Safetensors& file, const std::string& prefix, const std::map<std::string, torch::Tensor>& state) {
  for (const auto& [name, tensor] : state) file.tensors.emplace(prefix + name, tensor.detach().clone());
}

torch::Tensor loss_of(Network& network, const TwinCase& c, const TrainingSettings& settings, const Safetensors& file) {
  torch::Tensor loss;
  for (const torch::Tensor& logits : training_logits(network, file.tensors.at("images"), c.msc)) {
    const torch::Tensor term = confidence_guided_loss(logits, file.tensors.at("labels"), file.tensors.at("confidence"), settings);
    loss = loss.defined() ? loss + term : term;
  }
  return loss;
}

void write_case(const std::string& folder, const TwinCase& c) {
  const auto network = make_network(c.network, kClasses, c.style, 11);
  if (c.network != "small") randomise_buffers(*network);
  network->train();
  const TrainingSettings settings = settings_of(c);
  Optimiser optimiser(*network, settings);
  const int64_t side = 65;
  Safetensors file;
  file.metadata.emplace("case", json_of(c));
  file.tensors.emplace("images", torch::randn({2, 3, side, side}));
  torch::Tensor labels = torch::randint(0, kClasses, {2, side, side}, torch::kUInt8);
  labels.narrow(1, 0, 9).fill_(255);
  file.tensors.emplace("labels", labels);
  file.tensors.emplace("confidence", torch::rand({2, side, side}).pow(0.1));
  add_state(file, "before.", state_of(*network));
  std::vector<double> losses;
  for (int i = 0; i < 2; ++i) {
    const torch::Tensor loss = loss_of(*network, c, settings, file);
    losses.push_back(loss.item<double>());
    loss.backward();
    if (i == 0)
      for (const auto& item : network->named_parameters()) file.tensors.emplace("gradient." + item.key(), item.value().grad().clone());
    optimiser.step(kRate);
  }
  file.tensors.emplace("losses", torch::tensor(losses, torch::kFloat64));
  add_state(file, "after.", state_of(*network));
  write_safetensors(folder + "/" + c.name + ".safetensors", file);
}

}  // namespace

void write_twin_cases(const std::string& folder) {
  // oneDNN chooses among algorithms that round differently, and then an activation near zero may be cut off in one of the twins only.
  at::globalContext().setUserEnabledMkldnn(false);
  at::set_num_threads(1);
  const auto rgb = WeightStyle::kTorchvision;
  for (const TwinCase& c : std::vector<TwinCase>{
           {"small-hard", "small", rgb, {}, ConfidenceMode::kHard, false, {}},
           {"small-soft-balanced-clipped", "small", rgb, {}, ConfidenceMode::kSoft, true, 0.5},
           {"resnet50-hard", "deeplabv2-resnet50", rgb, {}, ConfidenceMode::kHard, false, {}},
           {"resnet50-caffe-multiscale", "deeplabv2-resnet50", WeightStyle::kCaffe, {0.5, 0.75}, ConfidenceMode::kOff, false, {}},
       })
    write_case(folder, c);
}
