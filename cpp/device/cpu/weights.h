// The weights of a model's image tower, packed for the CPU's products.
#pragma once
#include "cam/last_block_weights.h"
#include "clip/image_tower.h"
#include "clip/model_source.h"
#include "device/device.h"

namespace clip_es::cpu {

struct Weights : DeviceWeights {
  ImageTower tower;
  LastBlockWeights last_block;

  size_t bytes() const override { return tower.bytes() + last_block.bytes(); }
};

// kInt8 applies to the linear layers of all blocks except the last one. Attention, the last block and GradCAM then compute in bfloat16,
// because GradCAM's derivatives need more than 8 bits.
std::shared_ptr<const Weights> make_weights(HostContext&, const ModelSource&, Precision);

}  // namespace clip_es::cpu
