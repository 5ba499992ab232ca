// The interface through which a device reads a model's matrices. It reads one layer at a time. So loading needs memory only for the
// device's own copy and for one layer in float32.
#pragma once
#include <cstdint>
#include <memory>

#include "clip/model.h"

namespace clip_es {

class ModelSource {
 public:
  virtual ~ModelSource() = default;

  virtual std::shared_ptr<const Model> model() const = 0;
  // Each call reads the tensors again. Throws Error kModelRead, Error kModelFormat with the tensor's name, or Cancelled.
  virtual LinearTensors patch_embedding() const = 0;  // (width, 3 * patch * patch), no bias
  virtual BlockTensors image_block(int64_t index) const = 0;
  virtual BlockTensors text_block(int64_t index) const = 0;
};

}  // namespace clip_es
