// What the program is asked to do: the JSON files of the subcommands `train` and `predict`. The command writes them with all presets
// resolved.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace clip_es::train {

struct Sample {
  std::string name, photo, mask;          // paths of files
  std::optional<std::string> confidence;  // the file of a confidence map
};

struct NetworkSettings {
  std::string name;
  std::vector<double> msc;             // scales of additional inputs in training; empty: none
  std::optional<std::string> weights;  // the file with the initial weights; none: random
};

enum class ConfidenceMode { kOff, kHard, kSoft };

struct TrainingSettings {
  int64_t iterations, batch, accumulate;
  double learning_rate, head_factor, head_bias_factor;
  double momentum, weight_decay, power;
  int64_t crop;
  double smallest_scale, largest_scale;
  bool flip;
  ConfidenceMode confidence;
  double threshold;  // mu
  bool balanced;
  std::optional<double> clip;  // the largest norm of all gradients together
};

struct Intervals {
  int64_t log, checkpoint, validation;  // in iterations
};

struct TrainJob {
  std::string run;  // the folder of the run
  std::vector<std::string> classes;
  std::vector<Sample> samples, validation;
  NetworkSettings network;
  TrainingSettings training;
  Intervals every;
  int64_t pictures;  // how many validation photos get a picture
  std::string device;
  int threads, loaders;
  uint64_t seed;
};

struct PredictJob {
  std::string weights;
  std::vector<double> scales;
  bool flip;
  std::string device;
  int threads;
};

// Both throw Error kIo when the file cannot be read and kInvalidArg, with the name of the member, when a value cannot be used.
TrainJob read_train_job(const std::string& path);
PredictJob read_predict_job(const std::string& path);

}  // namespace clip_es::train
