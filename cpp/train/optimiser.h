// Stochastic gradient descent with momentum and DeepLab's three learning rates.
#pragma once
#include "network.h"

namespace clip_es::train {

// The polynomial schedule: the factor of the learning rate in an iteration, which counts from 0.
double poly_factor(int64_t iteration, int64_t iterations, double power);

class Optimiser {
 public:
  Optimiser(const Network& network, const TrainingSettings& settings);

  // Changes the weights by their gradients, and sets the gradients to zero. With a limit, all gradients are first scaled by one factor so
  // that their common norm is not above it.
  void step(double learning_rate);

  // The momentum of each weight, by its name. Loading copies the values. Names and shapes must be the same.
  std::map<std::string, torch::Tensor> momentum() const;
  void load_momentum(const std::map<std::string, torch::Tensor>& momentum);

 private:
  struct Parameter {
    std::string name;
    torch::Tensor value, momentum;
    double rate_factor;   // 1, or the head's
    double weight_decay;  // 0 for vectors: biases, and factors of batch norm
  };

  void clip_gradients();

  std::vector<Parameter> parameters_;
  const double momentum_;
  const std::optional<double> clip_;
};

}  // namespace clip_es::train
