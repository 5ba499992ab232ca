// The files of a run that hold weights: RUN/checkpoints/NNNNNN.safetensors with the weights, NNNNNN.state.safetensors with what only
// training needs, and RUN/best.safetensors. All are written whole or not at all.
#pragma once
#include <optional>

#include "network.h"
#include "optimiser.h"
#include "run_state.h"

namespace clip_es::train {

void save_weights(const std::string& path, const Network& network, const ModelInfo& info);

// Makes the network that a file of weights describes. Throws Error kModelFormat when this program did not write the file.
struct Model {
  ModelInfo info;
  std::shared_ptr<Network> network;
};
Model load_model(const std::string& path);

std::string checkpoint_name(int64_t iteration);  // six digits, such as 000500

class Checkpoints {
 public:
  explicit Checkpoints(const std::string& run) : folder_(run + "/checkpoints") {}

  // Writes a checkpoint and deletes all but the last three. Returns the path of the weights.
  std::string save(const Network& network, const Optimiser& optimiser, const ModelInfo& info, const Progress& progress) const;

  // The iteration of the newest complete checkpoint.
  std::optional<int64_t> newest() const;
  std::string weights_path(int64_t iteration) const;

  // Loads the state of a checkpoint into the optimiser, whose network has its weights.
  Progress load_state(int64_t iteration, Optimiser& optimiser) const;

 private:
  std::string state_path(int64_t iteration) const;
  std::vector<int64_t> complete() const;  // iterations, in order
  void delete_old() const;

  const std::string folder_;
};

}  // namespace clip_es::train
