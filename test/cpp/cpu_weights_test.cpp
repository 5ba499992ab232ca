// The weights that the CPU makes of a model, in each precision.
#include "check.h"
#include "device/cpu/weights.h"
#include "golden.h"
#include "options.h"
#include "support.h"

namespace clip_es::cpu_weights_test {

TEST("int8 smooths both norms of each block but the last, and computes attention and the last block in bfloat16") {
  const ModelFile& file = model_at(options().golden + kSmallModel);
  const int64_t layers = file.model()->shape.layers;
  for (const Precision precision : {Precision::kFloat32, Precision::kBFloat16, Precision::kInt8}) {
    const auto made = cpu::make_weights(test_context(), file, precision);
    const cpu::Weights& weights = *made;
    const bool int8 = precision == Precision::kInt8;
    const Precision exact = int8 ? Precision::kBFloat16 : precision;
    CHECK(weights.tower.attention == exact && weights.last_block.precision == exact);
    CHECK(std::ssize(weights.tower.blocks) == layers - 1);
    for (int64_t i = 0; i + 1 < layers; ++i) {
      const BlockTensors source = file.image_block(i);
      CHECK((weights.tower.blocks[i].ln_1.gamma != source.ln_1.gamma) == int8);
      CHECK((weights.tower.blocks[i].ln_2.gamma != source.ln_2.gamma) == int8);
    }
    CHECK(weights.last_block.block.ln_2.gamma == file.image_block(layers - 1).ln_2.gamma);
  }
}

}  // namespace clip_es::cpu_weights_test
