// The loss against its definition, written as loops over pixels.
#include "loss.h"

#include "check.h"
#include "network.h"
#include "optimiser.h"

using namespace clip_es::train;

namespace {

TrainingSettings settings_of(ConfidenceMode mode, bool balanced) {
  TrainingSettings settings{};
  settings.confidence = mode;
  settings.threshold = 0.95;
  settings.balanced = balanced;
  return settings;
}

double weight_of(double c, ConfidenceMode mode) {
  if (mode == ConfidenceMode::kHard) return c >= 0.95f;
  if (mode == ConfidenceMode::kSoft) return std::min(std::max((2 * c - 1) / 0.9, 0.0), 1.0);
  return 1;
}

double mean(double sum, double weight) { return weight > 0 ? sum / weight : 0; }

// Every pixel of the labels has its own logits.
double expected(const torch::Tensor& logits, const torch::Tensor& labels, const torch::Tensor& confidence,
                const TrainingSettings& settings) {
  double sums[2] = {}, weights[2] = {};
  for (int64_t n = 0; n < labels.size(0); ++n)
    for (int64_t y = 0; y < labels.size(1); ++y)
      for (int64_t x = 0; x < labels.size(2); ++x) {
        const auto label = labels[n][y][x].item<int64_t>();
        if (label == 255) continue;
        const torch::Tensor l = logits[n].index({torch::indexing::Slice(), y, x}).to(torch::kFloat64);
        const double weight = weight_of(confidence[n][y][x].item<double>(), settings.confidence);
        const int group = settings.balanced && label != 0;
        sums[group] += weight * -(l[label] - l.exp().sum().log()).item<double>();
        weights[group] += weight;
      }
  const int groups = (weights[0] > 0) + (weights[1] > 0);
  return (mean(sums[0], weights[0]) + mean(sums[1], weights[1])) / std::max(groups, 1);
}

}  // namespace

TEST("the loss equals its definition in every mode, balanced or not") {
  torch::manual_seed(3);
  const torch::Tensor logits = torch::randn({2, 4, 6, 5});
  torch::Tensor labels = torch::randint(0, 4, {2, 6, 5}, torch::kUInt8);
  labels[0][0].fill_(255);
  const torch::Tensor confidence = torch::rand({2, 6, 5}) * 0.6 + 0.4;
  for (const ConfidenceMode mode : {ConfidenceMode::kOff, ConfidenceMode::kHard, ConfidenceMode::kSoft})
    for (const bool balanced : {false, true}) {
      const TrainingSettings settings = settings_of(mode, balanced);
      const double loss = confidence_guided_loss(logits, labels, confidence, settings).item<double>();
      CHECK_BELOW(std::abs(loss - expected(logits, labels, confidence, settings)), 1e-5);
    }
}

TEST("a batch without a sure pixel has the loss 0 and no gradient") {
  const torch::Tensor logits = torch::randn({1, 3, 4, 4}).requires_grad_(true);
  const torch::Tensor labels = torch::full({1, 4, 4}, 255, torch::kUInt8);
  for (const bool balanced : {false, true}) {
    const torch::Tensor loss = confidence_guided_loss(logits, labels, torch::ones({1, 4, 4}), settings_of(ConfidenceMode::kHard, balanced));
    loss.backward();
    CHECK(loss.item<double>() == 0);
    CHECK(logits.grad().abs().max().item<double>() == 0);
  }
}

TEST("labels are reduced to the nearest pixel of the logits") {
  torch::Tensor labels = torch::zeros({1, 4, 4}, torch::kUInt8);
  labels[0][1][1] = labels[0][1][3] = labels[0][3][1] = labels[0][3][3] = 1;  // the pixels at the half-pixel centres of a 2 x 2 map
  torch::Tensor logits = torch::zeros({1, 2, 2, 2});
  logits.select(1, 1).fill_(20);
  const torch::Tensor loss = confidence_guided_loss(logits, labels, torch::ones({1, 4, 4}), settings_of(ConfidenceMode::kOff, false));
  CHECK_BELOW(loss.item<double>(), 1e-6);
}

TEST("the optimiser equals PyTorch's SGD with the same groups, with and without a limit of the gradients") {
  for (const bool clip : {false, true}) {
    const auto ours = make_network("small", 3, WeightStyle::kTorchvision, 1),
               theirs = make_network("small", 3, WeightStyle::kTorchvision, 1);
    TrainingSettings settings{};
    settings.momentum = 0.9;
    settings.weight_decay = 5e-4;
    settings.head_factor = 10;
    settings.head_bias_factor = 20;
    if (clip) settings.clip = 0.5;
    Optimiser optimiser(*ours, settings);
    std::vector<torch::optim::OptimizerParamGroup> groups;
    for (const auto& item : theirs->named_parameters()) {
      const bool vector = item.value().dim() == 1, head = item.key().starts_with("classifier.");
      auto options = std::make_unique<torch::optim::SGDOptions>(0.01 * (!head ? 1 : vector ? 20 : 10));
      options->momentum(0.9).weight_decay(vector ? 0 : 5e-4);
      groups.emplace_back(std::vector<torch::Tensor>{item.value()}, std::move(options));
    }
    torch::optim::SGD sgd(groups, torch::optim::SGDOptions(0.01));
    const torch::Tensor images = torch::randn({2, 3, 32, 32});
    for (int i = 0; i < 3; ++i) {
      ours->logits(images).square().mean().backward();
      theirs->logits(images).square().mean().backward();
      if (clip) torch::nn::utils::clip_grad_norm_(theirs->parameters(), 0.5);
      optimiser.step(0.01);
      sgd.step();
      sgd.zero_grad();
    }
    const auto a = state_of(*ours), b = state_of(*theirs);
    for (const auto& [name, tensor] : a) CHECK_BELOW((tensor - b.at(name)).abs().max().item<double>(), 1e-6);
  }
}

TEST("the learning rate falls as a power of what is left") {
  CHECK(poly_factor(0, 100, 0.9) == 1);
  CHECK_BELOW(std::abs(poly_factor(50, 100, 0.9) - 0.535886731268146), 1e-12);
  CHECK_BELOW(poly_factor(99, 100, 0.9), 0.016);
}
