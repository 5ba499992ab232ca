#include "device/cpu/weights.h"

#include "clip/smooth.h"

namespace clip_es::cpu {

std::shared_ptr<const Weights> make_weights(HostContext& context, const ModelSource& source, Precision precision) {
  const int64_t layers = source.model()->shape.layers;
  const Precision exact = precision == Precision::kInt8 ? Precision::kBFloat16 : precision;
  auto weights = std::make_shared<Weights>();
  ImageTower& tower = weights->tower;
  tower.patch_embedding = Linear(source.patch_embedding(), exact);
  tower.attention = exact;
  for (int64_t i = 0; i + 1 < layers; ++i) {
    BlockTensors block = source.image_block(i);
    if (precision == Precision::kInt8) {
      smooth(block.ln_1, block.in_proj.weight);
      smooth(block.ln_2, block.c_fc.weight);
    }
    tower.blocks.push_back(pack_block(block, precision));
  }
  weights->last_block = make_last_block_weights(context, source.image_block(layers - 1), exact);
  return weights;
}

}  // namespace clip_es::cpu
