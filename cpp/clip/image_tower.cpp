#include "clip/image_tower.h"

#include <algorithm>
#include <cmath>

namespace clip_es {

float affinity_weight(const Model& model) { return 1.0f / static_cast<float>(std::min(kAffinityBlocks, model.shape.layers)); }

void resize_positions(Arena& scratch, const Model& model, const Grid& grid, float* out) {
  const int64_t width = model.image.width, side = model.shape.resolution / model.shape.patch;
  const float* trained = model.positional_embedding.data();
  out = std::copy_n(trained, width, out);
  trained += width;
  Arena::Scope scope(scratch);
  const auto vertical = scratch.take<ops::Tap>(static_cast<size_t>(grid.height)),
             horizontal = scratch.take<ops::Tap>(static_cast<size_t>(grid.width));
  ops::bilinear_taps(side, grid.height, vertical);
  ops::bilinear_taps(side, grid.width, horizontal);
  for (const ops::Tap& v : vertical)
    for (const ops::Tap& h : horizontal) {
      auto at = [&](int64_t y, int64_t x, int64_t c) { return trained[(y * side + x) * width + c]; };
      for (int64_t c = 0; c < width; ++c) {
        const float top = at(v.low, h.low, c) * (1 - h.fraction) + at(v.low, h.high, c) * h.fraction;
        const float bottom = at(v.high, h.low, c) * (1 - h.fraction) + at(v.high, h.high, c) * h.fraction;
        *out++ = top * (1 - v.fraction) + bottom * v.fraction;
      }
    }
}

void encode_image(Context& context, const Model& model, const Grid& grid, const float* patches, float* x, float* mean_attention) {
  const int64_t width = model.image.width, patch_count = grid.patches(), n = patch_count + 1;
  {
    Arena::Scope scope(context.arena);
    const auto positions = context.arena.take<float>(static_cast<size_t>(n * width));
    resize_positions(context.arena, model, grid, positions.data());
    std::copy_n(model.class_embedding.data(), width, x);
    model.patch_embedding(context, patches, patch_count, x + width);
    ops::add(context, x, positions.data(), n * width);
    ops::layer_norm(context, x, n, width, model.ln_pre.gamma.data(), model.ln_pre.beta.data(), x);
  }
  std::fill_n(mean_attention, patch_count * patch_count, 0.0f);
  const ops::Sequence image{0, n};
  for (int64_t i = 0; i + 1 < model.shape.layers; ++i) {
    context.checkpoint();
    const BlockWeights& block = model.image_blocks[static_cast<size_t>(i)];
    if (i + kAffinityBlocks < model.shape.layers) transformer_block(context, model.image, block, {&image, 1}, false, x);
    else transformer_block_with_mean(context, model.image, block, n, x, affinity_weight(model), mean_attention);
  }
}

}  // namespace clip_es
