// The folder of a run: one process at a time, and its logs.
#pragma once
#include <fstream>
#include <string>

#include "events.h"

namespace clip_es::train {

// Locks RUN until it is destroyed, or the process ends in any way. Throws Error kInvalidArg when another process has the lock.
class RunLock {
 public:
  explicit RunLock(const std::string& run);
  ~RunLock();
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;

 private:
  int file_;
};

// A file of JSON lines that each have an "iteration". When a run continues, the lines after its checkpoint are removed first.
class Log {
 public:
  Log(const std::string& path, int64_t last_iteration);
  void add(const std::string& line);  // throws Error kIo

 private:
  const std::string path_;
  std::ofstream file_;
};

std::string loss_line(int64_t iteration, double loss);
std::string validation_line(const ValidationReport& report);

}  // namespace clip_es::train
