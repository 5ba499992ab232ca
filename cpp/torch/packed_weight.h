// The weights of a bfloat16 layer in oneDNN's own memory layout. oneDNN's product uses AMX tiles, which our own product does not use.
#pragma once
#include <cstdint>
#include <memory>

#include "torch/backend.h"

namespace clip_es::torch {

// True if the CPU multiplies tiles of bfloat16. oneDNN's product is then faster than ours, so a CPU segmenter uses it if there is a
// LibTorch.
bool cpu_has_amx();

class PackedWeight {
 public:
  // Copies weight (outputs, inputs). Returns null if no LibTorch is loaded, or if a trial product with this LibTorch and CPU fails or is
  // wrong: LibTorch does not promise to keep these operators.
  static std::unique_ptr<PackedWeight> make(const float* weight, int64_t inputs, int64_t outputs);
  ~PackedWeight();
  PackedWeight(const PackedWeight&) = delete;
  PackedWeight& operator=(const PackedWeight&) = delete;

  // x (rows, inputs) bfloat16 -> y (rows, outputs) float32. Several threads may call it at the same time.
  void multiply(uint16_t* x, int64_t rows, float* y) const;

 private:
  struct Handles;
  explicit PackedWeight(std::unique_ptr<Handles>);
  std::unique_ptr<Handles> handles_;
};

// Tries the packed product of this type. Every x86-64 CPU packs float32; some CPUs pack bfloat16.
bool packed_product_works(Dtype type);

}  // namespace clip_es::torch
