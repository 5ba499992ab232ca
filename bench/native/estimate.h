// What a batch costs on an H100, computed from what the engine queues for it: no GPU is needed, and nothing is computed.
#pragma once
#include <string>
#include <vector>

#include "clip/model_source.h"
#include "options.h"
#include "recording_gpu.h"

namespace estimate {

struct StageLaunches {
  std::string stage;  // as in StagedDevice
  std::vector<Launch> launches;
};

// Queues one batch as the engine does, on a recording GPU.
std::vector<StageLaunches> queue_batch(const BenchOptions&, const clip_es::ModelSource&);

// Why a launch takes its time: what it computes, its device memory, its copy between host and GPU, or being launched.
enum class Limit { kArithmetic, kMemory, kCopy, kLaunch };

struct Time {
  double seconds;
  Limit limit;
};
Time time_on_h100(const Cost&);

}  // namespace estimate

// Prints the estimate of --estimate.
void print_estimate(const BenchOptions&);
