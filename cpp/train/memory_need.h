// How much memory a run needs, estimated before it starts: on most systems a process that uses too much is killed without a message.
#pragma once
#include <cstdint>
#include <string>

#include "job.h"

namespace clip_es::train {

// The bytes for weights, gradients, momentum, the values that the backward pass needs, and the batches that are prepared.
double needed_bytes(const TrainJob& job, int64_t batch, int64_t crop);

// What this process can still get: of the machine, of its container, and of its address space (ulimit -v).
double available_bytes();

// A smaller batch or crop that fits, as the end of a sentence: "batch 2 with crop 321, or batch 5 with crop 193, would fit".
std::string what_fits(const TrainJob& job, double available);

// For a run on the CPU. Throws Error kOutOfMemory, with what would fit, when the run needs more than there is.
void check_memory(const TrainJob& job);

}  // namespace clip_es::train
