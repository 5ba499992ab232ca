#include "clip/image_tower.h"

#include <algorithm>
#include <cmath>

namespace clip_es {

float affinity_weight(const Model& model) { return 1.0f / static_cast<float>(std::min(kAffinityBlocks, model.shape.layers)); }

size_t ImageTower::bytes() const {
  size_t total = patch_embedding.bytes();
  for (const TransformerBlock& block : blocks) total += block.bytes();
  return total;
}

void resize_positions(Arena& scratch, const Model& model, const Grid& grid, float* out) {
  const int64_t width = model.image.width, side = model.shape.resolution / model.shape.patch;
  const float* trained = model.positional_embedding.data();
  out = std::copy_n(trained, width, out);
  trained += width;
  Arena::Scope scope(scratch);
  const auto vertical = scratch.take<ops::Tap>(grid.height), horizontal = scratch.take<ops::Tap>(grid.width);
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

void encode_images(HostContext& context, const Model& model, const ImageTower& tower, std::span<const Grid> grids,
                   HostSpan<const float> patches, HostSpan<float> tokens, std::span<const HostSpan<float>> mean_attention,
                   std::span<const HostSpan<float>> block_outputs) {
  const int64_t width = model.image.width, layers = model.shape.layers;
  Arena::Scope scope(context.arena);
  const auto images = context.arena.take<ops::Sequence>(grids.size());
  const float* own_patches = patches.data();
  int64_t count = 0;  // tokens so far
  for (size_t i = 0; i < grids.size(); ++i) {
    images[i] = {count, grids[i].tokens()};
    float* own = tokens.data() + count * width;
    resize_positions(context.arena, model, grids[i], own);
    for (int64_t c = 0; c < width; ++c) own[c] += model.class_embedding[c];
    tower.patch_embedding(context, own_patches, grids[i].patches(), own + width, {.add = true});
    if (!mean_attention.empty()) std::ranges::fill(mean_attention[i], 0.0f);
    own_patches += grids[i].patches() * model.patch_values();
    count += grids[i].tokens();
  }
  float* x = tokens.data();
  ops::layer_norm(context, x, count, width, model.ln_pre.gamma.data(), model.ln_pre.beta.data(), x);
  const auto keep = [&](int64_t blocks) {
    if (!block_outputs.empty() && !block_outputs[blocks].empty()) std::copy_n(x, count * width, block_outputs[blocks].begin());
  };
  keep(0);
  for (int64_t i = 0; i + 1 < layers; ++i) {
    context.checkpoint();
    const TransformerBlock& block = tower.blocks[i];
    if (mean_attention.empty() || i + kAffinityBlocks < layers)
      transformer_block(context, model.image, tower.attention, block, images, false, x);
    else transformer_block_with_means(context, model.image, tower.attention, block, images, x, affinity_weight(model), mean_attention);
    keep(i + 1);
  }
}

}  // namespace clip_es
