#include "optimiser.h"

#include <cmath>

#include "core/error.h"

namespace clip_es::train {

double poly_factor(int64_t iteration, int64_t iterations, double power) {
  return std::pow(1 - static_cast<double>(iteration) / static_cast<double>(iterations), power);
}

Optimiser::Optimiser(const Network& network, const TrainingSettings& settings) : momentum_(settings.momentum), clip_(settings.clip) {
  for (const auto& item : network.named_parameters()) {
    const bool head = network.is_head(item.key()), vector = item.value().dim() == 1;
    const double factor = !head ? 1 : vector ? settings.head_bias_factor : settings.head_factor;
    parameters_.push_back({item.key(), item.value(), torch::zeros_like(item.value()).detach(), factor, vector ? 0 : settings.weight_decay});
  }
}

// As PyTorch's SGD: v = momentum * v + gradient + decay * weight; weight -= rate * v.
void Optimiser::step(double learning_rate) {
  const torch::NoGradGuard no_gradient;
  if (clip_) clip_gradients();
  for (Parameter& p : parameters_) {
    torch::Tensor gradient = p.value.mutable_grad();
    if (!gradient.defined()) continue;
    p.momentum.mul_(momentum_).add_(gradient);
    if (p.weight_decay != 0) p.momentum.add_(p.value, p.weight_decay);
    p.value.add_(p.momentum, -learning_rate * p.rate_factor);
    gradient.zero_();
  }
}

void Optimiser::clip_gradients() {
  std::vector<torch::Tensor> weights;
  for (const Parameter& p : parameters_) weights.push_back(p.value);
  torch::nn::utils::clip_grad_norm_(weights, *clip_);
}

std::map<std::string, torch::Tensor> Optimiser::momentum() const {
  std::map<std::string, torch::Tensor> all;
  for (const Parameter& p : parameters_) all.emplace(p.name, p.momentum);
  return all;
}

void Optimiser::load_momentum(const std::map<std::string, torch::Tensor>& momentum) {
  for (Parameter& p : parameters_) {
    const auto found = momentum.find(p.name);
    if (found == momentum.end() || found->second.sizes() != p.value.sizes())
      throw Error(ErrorCode::kModelFormat, "the momentum of " + p.name + " is missing or has another shape");
    p.momentum.copy_(found->second);
  }
}

}  // namespace clip_es::train
