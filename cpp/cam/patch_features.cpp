#include "cam/patch_features.h"

#include <algorithm>

#include "cam/changed_block.h"
#include "cam/embeddings.h"
#include "cam/middle_blocks.h"
#include "cam/token_similarity.h"
#include "ops/attention.h"
#include "ops/matmul.h"
#include "ops/ops.h"

namespace clip_es {
namespace {

// Spans for the outputs of the blocks that the settings need.
std::span<HostSpan<float>> take_outputs(Arena& arena, const SimilaritySettings& settings, int64_t layers, int64_t floats) {
  const auto outputs = arena.take<HostSpan<float>>(layers);
  std::ranges::fill(outputs, HostSpan<float>{});
  for_needed_outputs(settings, layers, [&](int64_t i) {
    if (outputs[i].empty()) outputs[i] = arena.take<float>(floats);
  });
  return outputs;
}

// The tokens that enter the last block, and what SC-CLIP's steps make of the earlier blocks.
class Photo {
 public:
  Photo(HostContext& context, const Model& model, const TowerWeights& weights, const SimilaritySettings& settings, const Grid& grid)
      : context_(context), model_(model), weights_(weights), settings_(settings), grid_(grid) {}

  // Writes features (N, E) and, if it is not empty, mean_attention (N, N).
  void features(HostSpan<const float> patch_rows, HostSpan<float> rows, HostSpan<float> mean_attention) {
    Arena::Scope scope(context_.arena);
    encode(patch_rows, mean_attention, take_outputs(context_.arena, settings_, model_.shape.layers, grid_.tokens() * width()));
    repair();
    compare_middle_blocks();
    const auto x = context_.arena.take<float>(grid_.patches() * width());
    run(tokens_.first(width()), patches_of(tokens_), x);
    if (settings_.fuse) add_fused(x);
    const LayerNormWeights& norm = model_.ln_post;
    ops::layer_norm(context_, x.data(), grid_.patches(), width(), norm.gamma.data(), norm.beta.data(), x.data());
    project(context_, model_, x, rows);
  }

  void attention(HostSpan<const float> patch_rows, HostSpan<float> mean_attention) {
    Arena::Scope scope(context_.arena);
    encode(patch_rows, mean_attention, {});
  }

 private:
  int64_t width() const { return model_.image.width; }
  std::span<float> patches_of(std::span<float> tokens) const { return tokens.subspan(width()); }
  std::span<float> output_of(int64_t block) const {
    const int64_t layers = model_.shape.layers;
    return outputs_[kept_output(block_at(block, layers), layers)];
  }

  // Sets tokens_ and outputs_. mean_attention: that of all blocks, with the unchanged last one.
  void encode(HostSpan<const float> patch_rows, HostSpan<float> mean_attention, std::span<HostSpan<float>> outputs) {
    outputs_ = outputs;
    const int64_t n = grid_.tokens();
    tokens_ = context_.arena.take<float>(n * width());
    const std::span<const HostSpan<float>> means(&mean_attention, mean_attention.empty() ? 0 : 1);
    encode_images(context_, model_, weights_.tower, {&grid_, 1}, patch_rows, tokens_, means, outputs_);
    if (means.empty()) return;
    Arena::Scope scope(context_.arena);
    const TransformerBlock& block = weights_.last.block;
    const auto y = context_.arena.take<float>(tokens_.size()), qkv = context_.arena.take<float>(3 * tokens_.size());
    ops::layer_norm(context_, tokens_.data(), n, width(), block.ln_1.gamma.data(), block.ln_1.beta.data(), y.data());
    block.in_proj(context_, y.data(), n, qkv.data());
    ops::attention_with_mean(context_, {qkv.data(), width(), model_.image.heads, weights_.last.precision}, n, y.data(), nullptr,
                             affinity_weight(model_), mean_attention.data());
  }

  void repair() {
    outlier_ = context_.arena.take<uint8_t>(grid_.patches());
    std::ranges::fill(outlier_, uint8_t{0});
    if (settings_.repair == 0) return;
    find_outliers(context_, patches_of(tokens_), settings_.repair, outlier_);
    repair_patches(context_, outlier_, grid_, patches_of(tokens_));
  }

  // Sets middle_ and late_, and averages the tokens' patches.
  void compare_middle_blocks() {
    const size_t size = grid_.patches() * grid_.patches();
    if (settings_.mid_attention || settings_.aggregate) {
      const auto similarity = context_.arena.take<float>(size);
      Arena::Scope scope(context_.arena);
      const auto repaired = context_.arena.take<float>(grid_.patches() * width());
      std::ranges::copy(patches_of(output_of(kMidBlock)), repaired.begin());
      repair_patches(context_, outlier_, grid_, repaired);
      patch_similarity(context_, repaired, grid_.patches(), similarity);
      middle_ = similarity;
    }
    if (settings_.aggregate) {
      late_ = context_.arena.take<float>(size);
      std::ranges::copy(middle_, late_.begin());
      to_averaging_weights(context_, grid_.patches(), late_);
      average(patches_of(tokens_));
      patch_similarity(context_, patches_of(output_of(kLateBlock)), grid_.patches(), late_);
      to_averaging_weights(context_, grid_.patches(), late_);
    }
    if (settings_.mid_attention) to_attention(context_, grid_.patches(), middle_);
    else middle_ = {};
  }

  // x (N, D) = late_ x
  void average(std::span<float> x) {
    Arena::Scope scope(context_.arena);
    const int64_t patches = grid_.patches();
    const auto copy = context_.arena.take<float>(x.size());
    std::ranges::copy(x, copy.begin());
    ops::matmul(context_, matrix(late_.data(), patches, patches), matrix(copy.data(), patches, width()), x.data());
  }

  void run(std::span<const float> class_token, std::span<const float> patches, std::span<float> out) {
    context_.checkpoint();
    run_changed_block(context_, {model_, weights_, settings_, grid_, outputs_, middle_}, class_token, patches, out);
    if (settings_.aggregate) average(out);
  }

  // Adds the result of the block for the sum of the middle blocks' tokens.
  void add_fused(std::span<float> x) {
    Arena::Scope scope(context_.arena);
    const auto sum = context_.arena.take<float>(tokens_.size()), out = context_.arena.take<float>(x.size());
    std::ranges::fill(sum, 0.0f);
    const auto [first, last] = blocks_at(kFusedBlocks, model_.shape.layers);
    for (int64_t block = first; block <= last; ++block)
      ops::add(context_, sum.data(), outputs_[kept_output(block, model_.shape.layers)].data(), std::ssize(sum));
    run(sum.first(width()), patches_of(sum), out);
    ops::add(context_, x.data(), out.data(), std::ssize(x));
  }

  HostContext& context_;
  const Model& model_;
  const TowerWeights& weights_;
  const SimilaritySettings& settings_;
  const Grid& grid_;
  std::span<HostSpan<float>> outputs_;
  std::span<float> tokens_;         // (n, D)
  std::span<uint8_t> outlier_;      // (N)
  std::span<float> middle_, late_;  // (N, N): attention of the middle block, weights of averages; empty if a setting is off
};

// Copies the rows of a window's patches. rows: the photo's patches, each of `values` floats.
void cut_window(HostSpan<const float> rows, const Windows& windows, int64_t y, int64_t x, int64_t values, std::span<float> to) {
  for (int64_t row = 0; row < windows.window.height; ++row)
    std::ranges::copy(rows.subspan(((y + row) * windows.photo.width + x) * values, windows.window.width * values),
                      to.begin() + row * windows.window.width * values);
}

}  // namespace

void patch_features(HostContext& context, const Model& model, const TowerWeights& weights, const SimilaritySettings& settings,
                    const Windows& windows, HostSpan<const float> patches, HostSpan<float> features, HostSpan<float> mean_attention) {
  if (windows.whole) return Photo(context, model, weights, settings, windows.photo).features(patches, features, mean_attention);
  if (!mean_attention.empty()) Photo(context, model, weights, settings, windows.photo).attention(patches, mean_attention);
  Arena::Scope scope(context.arena);
  const int64_t values = model.patch_values(), size = windows.window.patches() * model.shape.embedding;
  const auto own = context.arena.take<float>(windows.window.patches() * values);
  for (const int64_t y : windows.rows)
    for (const int64_t x : windows.columns) {
      cut_window(patches, windows, y, x, values, own);
      Photo(context, model, weights, settings, windows.window).features(own, features.first(size), {});
      features = features.subspan(size);
    }
}

}  // namespace clip_es
