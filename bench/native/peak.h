// The highest rates that this machine reaches. The bench compares the stages with them.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "clip/linear.h"
#include "core/context.h"
#include "torch/packed_weight.h"

// Operations and bytes per second. bytes is 0 if it is not known.
struct Peak {
  double flops, bytes;
};

// Measures the four products of one transformer block for `tokens` rows: the engine's own and, if a LibTorch is loaded, the fastest of
// LibTorch for that precision. float32: mm. bfloat16: weights packed by oneDNN, float32 results. int8: _int_mm, without the conversion to
// integers. Call round() between two runs of the engine, so that other programs slow down both measurements equally.
class PeakProbe {
 public:
  PeakProbe(int64_t tokens, int64_t width, clip_es::Precision);
  // Runs each product once on the context's threads.
  void round(clip_es::HostContext&);
  // Operations per second, from the fastest round of each product. library() is 0 if no LibTorch is loaded or it has no such product.
  double library() const { return flops_per_second(&Product::library); }
  double engine() const { return flops_per_second(&Product::engine); }

 private:
  struct Product {
    int64_t inputs, outputs;
    clip_es::Linear layer;
    std::unique_ptr<clip_es::torch::PackedWeight> packed;  // bfloat16 only
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

// The rate of LibTorch's products of one transformer block on a GPU, and the rate at which the GPU copies within its own memory. A copied
// byte counts twice, because it is read and written.
Peak gpu_peak(const std::string& device, clip_es::Precision, int64_t tokens, int64_t width);
