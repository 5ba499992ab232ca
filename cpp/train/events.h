// What the program tells the command: one JSON object a line on the standard output.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "run_state.h"

namespace clip_es::train {

struct IterationReport {
  int64_t iteration;
  double loss, learning_rate;
  double seconds, waited;  // waited: for the data, part of the seconds
};

struct ValidationReport {
  int64_t iteration;
  double miou;
  std::vector<std::optional<double>> iou;
  std::vector<std::string> pictures;  // paths
};

void report_start(int64_t iteration, int64_t parameters, const std::string& device, int threads, bool resumed);
void report_iteration(const IterationReport& report);
void report_validation(const ValidationReport& report);
void report_checkpoint(int64_t iteration, const std::string& path);
void report_end(int64_t iteration, const std::optional<Best>& best);
void report_error(const std::string& code, const std::string& message);
void report_ready(const ModelInfo& info);  // of `predict`

}  // namespace clip_es::train
