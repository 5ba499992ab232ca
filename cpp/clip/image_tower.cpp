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

void encode_images(HostContext& context, const Model& model, std::span<const Grid> grids, const float* patches, float* x,
                   std::span<float* const> mean_attention) {
  const int64_t width = model.image.width, patch_values = 3 * model.shape.patch * model.shape.patch;
  Arena::Scope scope(context.arena);
  const auto images = context.arena.take<ops::Sequence>(grids.size());
  int64_t tokens = 0;
  for (size_t i = 0; i < grids.size(); ++i) {
    const int64_t patch_count = grids[i].patches();
    images[i] = {tokens, patch_count + 1};
    float* own = x + tokens * width;
    resize_positions(context.arena, model, grids[i], own);
    for (int64_t c = 0; c < width; ++c) own[c] += model.class_embedding[static_cast<size_t>(c)];
    model.patch_embedding(context, patches, patch_count, own + width, {.add = true});
    std::fill_n(mean_attention[i], patch_count * patch_count, 0.0f);
    patches += patch_count * patch_values;
    tokens += patch_count + 1;
  }
  ops::layer_norm(context, x, tokens, width, model.ln_pre.gamma.data(), model.ln_pre.beta.data(), x);
  for (int64_t i = 0; i + 1 < model.shape.layers; ++i) {
    context.checkpoint();
    const BlockWeights& block = model.image_blocks[static_cast<size_t>(i)];
    if (i + kAffinityBlocks < model.shape.layers) transformer_block(context, model.image, block, images, false, x);
    else transformer_block_with_means(context, model.image, block, images, x, affinity_weight(model), mean_attention);
  }
}

}  // namespace clip_es
