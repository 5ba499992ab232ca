// A bfloat16 layer's weights in the order that oneDNN multiplies from, made once: where the processor multiplies bfloat16 by itself, a
// product reorders nothing.
#pragma once
#include <cstdint>
#include <memory>

namespace clip_es::torch {

class PackedWeight {
 public:
  // weight, bias (outputs) or null: bfloat16; the weight may be freed afterwards, the bias not. Null where this LibTorch or this processor
  // does not do it, or a trial product comes out wrong: LibTorch does not promise these operators.
  static std::unique_ptr<PackedWeight> make(uint16_t* weight, uint16_t* bias, int64_t inputs, int64_t outputs);
  ~PackedWeight();
  PackedWeight(const PackedWeight&) = delete;
  PackedWeight& operator=(const PackedWeight&) = delete;

  // x (rows, inputs) bfloat16 -> y (rows, outputs) float32. Any number of threads may call it at once.
  void multiply(uint16_t* x, int64_t rows, float* y) const;

 private:
  struct Handles;
  explicit PackedWeight(std::unique_ptr<Handles>);
  std::unique_ptr<Handles> handles_;
};

// The trial product, in float32 ('f'), which every processor packs, or bfloat16 ('b'). Also says whether the operators are there.
bool packed_product_is_right(char type);

}  // namespace clip_es::torch
