#include "device/cpu/weights.h"

#include "clip/smooth.h"

namespace clip_es::cpu {

Weights make_weights(HostContext& context, const ModelSource& source, Precision precision) {
  const int64_t layers = source.model()->shape.layers;
  const Precision exact = precision == Precision::kInt8 ? Precision::kBFloat16 : precision;
  ImageTower tower{Linear(source.patch_embedding(), exact), {}, exact};
  for (int64_t i = 0; i + 1 < layers; ++i) {
    BlockTensors block = source.image_block(i);
    if (precision == Precision::kInt8) {
      smooth(block.ln_1, block.in_proj.weight);
      smooth(block.ln_2, block.c_fc.weight);
    }
    tower.blocks.push_back(pack_block(block, precision));
  }
  return {std::move(tower), LastBlockWeights(context, source.image_block(layers - 1), exact)};
}

}  // namespace clip_es::cpu
