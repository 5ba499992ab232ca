// A training run, from its job to its end.
#pragma once
#include "job.h"

namespace clip_es::train {

enum class Outcome { kDone, kStopped };

// Starts the run, or continues from the newest checkpoint in its folder. Reports to the standard output. A signal to stop saves a
// checkpoint.
Outcome train(const TrainJob& job);

}  // namespace clip_es::train
