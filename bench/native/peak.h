// How fast this machine multiplies matrices, as a measure for the stages.
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

// Times the four products of one transformer block for `tokens` rows: the engine's own and, if a LibTorch is loaded, LibTorch's best of
// that precision (float32: plain; bfloat16: packed by oneDNN, y widened to float32; int8: _int_mm of integers that exist already). Time a
// round between two runs of the engine, so that other work on the machine slows down all of them.
class PeakProbe {
 public:
  PeakProbe(int64_t tokens, int64_t width, clip_es::Precision);
  // One round of each product on the context's threads.
  void round(clip_es::HostContext&);
  // Floating-point operations per second of each product's best round. library() is 0 without a LibTorch or without such a product.
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
