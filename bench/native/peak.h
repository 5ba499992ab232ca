// What LibTorch's own matrix product reaches on this machine, to measure the stages by.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "clip/linear.h"
#include "core/context.h"
#include "torch/packed_weight.h"

// Per second, at best; bytes 0: unknown.
struct Peak {
  double flops, bytes;
};

// The four products of one transformer block for `tokens` rows, by LibTorch's best product of that precision (plain in float32, packed by
// oneDNN in bfloat16 with y widened to float32, _int_mm of integers that are there already in int8) and by the engine's. A round is timed
// between the engine's runs, so that whatever else the machine does meets all of them.
class PeakProbe {
 public:
  PeakProbe(int64_t tokens, int64_t width, clip_es::Precision);
  // One round of each product on the context's threads.
  void round(clip_es::HostContext&);
  // Each product's best round, together: floating-point operations per second. The library's is 0 where it has none of this precision.
  double library() const { return flops_per_second(&Product::library); }
  double engine() const { return flops_per_second(&Product::engine); }

 private:
  struct Product {
    int64_t inputs, outputs;
    clip_es::Linear layer;
    std::unique_ptr<clip_es::torch::PackedWeight> packed;  // of bfloat16
    double library, engine;                                // seconds
  };
  bool run_library(const Product&, int64_t begin, int64_t end);
  double flops_per_second(double Product::*seconds) const;
  int64_t tokens_;
  clip_es::Precision precision_;
  std::vector<Product> products_;
  std::vector<float> x_, weight_, bias_, y_;
  std::vector<uint16_t> half_x_;
  std::vector<int8_t> integer_x_, integer_weight_;
};

// The same products on a GPU, many in a row, as one is over before the host could time it; in `precision`, the best of some rounds. And
// how fast it copies its own memory, read and written bytes together.
Peak gpu_peak(const std::string& device, clip_es::Precision, int64_t tokens, int64_t width);
