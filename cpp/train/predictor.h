// Answers requests for predictions. A request is a JSON line {"id", "width", "height"} on the standard input, followed by the RGB pixels.
// The answer is a JSON line {"id", "width", "height", "labels"} on the standard output, followed by the probabilities: float32 in the order
// labels, height, width; or only a line {"id", "error": {"code", "message"}}.
#pragma once
#include "job.h"

namespace clip_es::train {

// Returns at the end of the standard input.
void predict(const PredictJob& job);

}  // namespace clip_es::train
