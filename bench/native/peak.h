// What LibTorch's own matrix product reaches on this machine, to measure the stages by.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "core/context.h"
#include "torch/linear.h"

// Per second, at best; bytes 0: unknown.
struct Peak {
  double flops, bytes;
};

// The four products of one transformer block for `tokens` rows in float32, by LibTorch's plain product and by the engine's, whose weights
// are packed. A round is timed between the engine's runs, so that whatever else the machine does meets all of them.
class PeakProbe {
 public:
  PeakProbe(int64_t tokens, int64_t width);
  // One round of each product on the context's threads.
  void round(clip_es::Context&);
  // Each product's best round, together: floating-point operations per second.
  double library() const { return flops_per_second(&Product::library); }
  double engine() const { return flops_per_second(&Product::engine); }

 private:
  struct Product {
    int64_t inputs, outputs;
    clip_es::torch::Linear layer;
    double library, engine;  // seconds
  };
  double flops_per_second(double Product::*seconds) const;
  int64_t tokens_;
  std::vector<Product> products_;
  std::vector<float> x_, weight_, bias_, y_;
};

// The same products on a GPU, many in a row, as one is over before the host could time it; in `precision`, the best of some rounds. And
// how fast it copies its own memory, read and written bytes together.
Peak gpu_peak(const std::string& device, clip_es::torch::Precision, int64_t tokens, int64_t width);
