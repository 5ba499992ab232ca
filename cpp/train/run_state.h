// What a run and its files of weights know besides the weights.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "normalisation.h"

namespace clip_es::train {

// What a file of weights says about itself.
struct ModelInfo {
  std::string network;
  std::vector<std::string> classes;
  WeightStyle style = WeightStyle::kTorchvision;
  int64_t iteration = 0;
};

// The validation with the highest mIoU so far.
struct Best {
  int64_t iteration;
  double miou;
};

// What a run must know to continue, besides weights and momentum. The data and their random numbers depend only on the seed and the
// iteration.
struct Progress {
  int64_t iteration = 0;  // how many are done
  int64_t validated = 0;  // the last iteration that was validated
  std::optional<Best> best;
};

}  // namespace clip_es::train
