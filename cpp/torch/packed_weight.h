// A bfloat16 layer's weights in the order that oneDNN multiplies from, made once: where the processor has AMX, whose tiles our own product
// does not use.
#pragma once
#include <cstdint>
#include <memory>

namespace clip_es::torch {

class PackedWeight {
 public:
  // weight (outputs, inputs) is copied. Null where the processor has no AMX, unless `anywhere`, and where this LibTorch or this processor
  // does not do it, or a trial product comes out wrong: LibTorch does not promise these operators.
  static std::unique_ptr<PackedWeight> make(const float* weight, int64_t inputs, int64_t outputs, bool anywhere = false);
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
