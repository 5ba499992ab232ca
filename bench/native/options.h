// The options of clip_es_bench.
#pragma once
#include <algorithm>
#include <cstdint>
#include <string>
#include <thread>

#include "core/precision.h"

struct BenchOptions {
  std::string libtorch, model, classes, device = "cpu";
  int64_t width = 500, height = 375;
  int64_t labels = 0;  // 0: all classes of --classes, or kRandomLabels
  int threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  int repeat = 5, batch = 1, concurrency = 1;
  clip_es::Precision precision = clip_es::Precision::kFloat32;
};

// Prints the usage and ends the program with status 2 if the options are wrong.
BenchOptions parse(int argc, char** argv);
