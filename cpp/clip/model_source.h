// Where a device gets a model's matrices from, one layer at a time, so that the memory needed at load is the device's own copy and one
// layer in float32.
#pragma once
#include <cstdint>
#include <memory>

#include "clip/model.h"

namespace clip_es {

class ModelSource {
 public:
  virtual ~ModelSource() = default;

  virtual std::shared_ptr<const Model> model() const = 0;
  // Each call reads the tensors anew. They throw Error kModelRead or kModelFormat, naming the tensor, or Cancelled.
  virtual LinearTensors patch_embedding() const = 0;  // (width, 3 * patch * patch), no bias
  virtual BlockTensors image_block(int64_t index) const = 0;
  virtual BlockTensors text_block(int64_t index) const = 0;
};

}  // namespace clip_es
