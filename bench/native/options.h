// The options of clip_es_bench.
#pragma once
#include <algorithm>
#include <cstdint>
#include <stdexcept>
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
  bool estimate = false;  // the model may then be missing
  bool help = false;      // all other options are then ignored
};

constexpr const char* kUsage =
    "usage: clip_es_bench --model FILE [--libtorch DIR] [--device cpu|cuda[:N]] [--size WxH] [--labels K] [--classes FILE]\n"
    "                     [--threads T] [--precision float32|bfloat16|int8] [--repeat R] [--batch B] [--concurrency C]\n"
    "           measures each stage on a synthetic photo\n"
    "       clip_es_bench --device cuda --estimate [--model FILE] [--size WxH] [--labels K] [--precision float32|bfloat16] [--batch B]\n"
    "           estimates what each stage costs on an H100, from the kernels and products that are queued; needs no GPU,\n"
    "           no LibTorch and no model: without --model it assumes a ViT-B/16\n";

// A wrong option, with the remedy.
struct UsageError : std::invalid_argument {
  using invalid_argument::invalid_argument;
};

// Throws UsageError.
BenchOptions parse(int argc, const char* const* argv);
