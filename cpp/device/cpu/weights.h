// A model's image tower as the CPU multiplies it.
#pragma once
#include "cam/last_block_weights.h"
#include "clip/image_tower.h"
#include "clip/model_source.h"

namespace clip_es::cpu {

struct Weights {
  ImageTower tower;
  LastBlockWeights last_block;

  size_t bytes() const { return tower.bytes() + last_block.bytes(); }
};

// int8 is used for the linear layers of all blocks but the last. Attention, the last block and GradCAM then compute in bfloat16, because
// 8 bits are too coarse for what GradCAM differentiates.
Weights make_weights(HostContext&, const ModelSource&, Precision);

}  // namespace clip_es::cpu
