// preprocess and encode_image. The residual stream is float32 in every precision; what is multiplied is in the blocks' own type.
#include "clip/image_tower.h"

#include <algorithm>

#include "cuda/cuda_device.h"
#include "ops/resize_weights.h"

namespace clip_es::cuda {
namespace {

constexpr size_t kScoreBytes = size_t{64} << 20;  // of scores at once, in float32

void* take(Arena& arena, int64_t count, torch::Dtype dtype) {
  return arena.take<std::byte>(static_cast<size_t>(count) * (dtype == torch::Dtype::kFloat32 ? sizeof(float) : sizeof(uint16_t))).data();
}

}  // namespace

// One resize: Pillow's two passes. The first makes RGB of what comes, even where the width stays.
const uint8_t* CudaDevice::resize(Arena& arena, const uint8_t* image, int64_t channels, PhotoSize from, PhotoSize to) const {
  const auto send = [&](int64_t in_size, int64_t out_size) {
    const ops::ResizeWeights w = ops::resize_weights(staging_, in_size, out_size);
    const auto put = [&](std::span<const int32_t> values) {
      const auto sent = arena.take<int32_t>(values.size());
      gpu_->copy_in(values, sent.data());
      return sent.data();
    };
    return ResizeTaps{put(w.first), put(w.count), put(w.weights), w.taps};
  };
  if (from.width != to.width || channels != 3) {
    const auto rows = arena.take<uint8_t>(static_cast<size_t>(3 * to.width * from.height));
    gpu_->resize_rows({image, channels, from.width, from.height, to.width, send(from.width, to.width), rows.data()});
    image = rows.data();
  }
  if (from.height != to.height) {
    const auto columns = arena.take<uint8_t>(static_cast<size_t>(3 * to.width * to.height));
    gpu_->resize_columns({image, to.width, to.height, send(from.height, to.height), columns.data()});
    image = columns.data();
  }
  return image;
}

void CudaDevice::preprocess(Context& c, const Image& image, int64_t max_side, float* patches) {
  const int64_t patch = model_->shape.patch;
  const Grid grid = patch_grid(image.width, image.height, patch, max_side);
  const PhotoSize size{image.width, image.height}, reduced = reduced_size(image.width, image.height, max_side),
                                                   network{grid.width * patch, grid.height * patch};
  Arena::Scope scope(c.arena), staging_scope(staging_);
  const auto bytes = c.arena.take<uint8_t>(static_cast<size_t>(image.width * image.height * image.channels));
  gpu_->copy_in(std::span<const uint8_t>(image.data, bytes.size()), bytes.data());
  const uint8_t* rgb = bytes.data();
  int64_t channels = image.channels;
  if (reduced.width != size.width || reduced.height != size.height) {
    rgb = resize(c.arena, rgb, channels, size, reduced);
    channels = 3;
  }
  rgb = resize(c.arena, rgb, channels, reduced, network);
  gpu_->extract_patches({rgb, grid.height, grid.width, patch, weights_->pixel_values, patches});
}

void CudaDevice::attend(Arena& arena, const float* qkv, int64_t n, float* out, float* log_sum_exp, float* mean) const {
  const int64_t heads = model_->image.heads, width = model_->image.width, size = head_size();
  const auto most = static_cast<int64_t>(kScoreBytes / sizeof(float)) / (heads * n);
  const int64_t rows_at_once = std::clamp<int64_t>(most, 1, n);
  const auto part = [&](int64_t which, int64_t first, int64_t rows) {
    return torch::Batch{qkv + first * 3 * width + which * width, torch::Dtype::kFloat32, heads, rows, size, size, 3 * width, 1};
  };
  Arena::Scope scope(arena);
  const auto scores = arena.take<float>(static_cast<size_t>(heads * rows_at_once * n));
  for (int64_t first = 0; first < n; first += rows_at_once) {
    const int64_t rows = std::min(rows_at_once, n - first);
    const torch::Batch block{scores.data(), torch::Dtype::kFloat32, heads, rows, n, rows * n, n, 1};
    gpu_->torch().bmm(part(0, first, rows), torch::transposed(part(1, 0, n)), block);
    gpu_->softmax({scores.data(), heads, rows, n, first, scale(), {log_sum_exp, n, 1}});
    gpu_->torch().bmm(block, part(2, 0, n), {out + first * width, torch::Dtype::kFloat32, heads, rows, size, size, width, 1});
    if (mean) gpu_->add_head_mean({scores.data(), heads, rows, n, first, affinity_weight(*model_) / static_cast<float>(heads), mean});
  }
}

// x += pending, the MLP's output of the block before; then the block up to its own MLP's output, which goes to `out`.
void CudaDevice::run_block(Arena& arena, const Block& w, int64_t n, float* x, const void* pending, void* out, float* mean) const {
  const torch::Dtype dtype = w.in_proj.dtype;
  const int64_t width = model_->image.width, hidden = w.c_fc.outputs, heads = model_->image.heads;
  const bool bfloat16 = dtype == torch::Dtype::kBFloat16;
  Arena::Scope scope(arena);
  void *normalised = take(arena, n * width, dtype), *attended_out = take(arena, n * width, dtype);
  {
    Arena::Scope attention_scope(arena);
    void* qkv = take(arena, 3 * n * width, dtype);
    gpu_->layer_norm({x, pending, bfloat16, n, width, w.ln_1.gamma, w.ln_1.beta, normalised, bfloat16, nullptr});
    linear(w.in_proj, normalised, n, qkv);
    if (bfloat16) {
      const torch::Backend::Attended a = gpu_->torch().attention(qkv, n, width, heads);
      if (mean)
        gpu_->add_attention_mean({qkv,
                                  n,
                                  width,
                                  heads,
                                  scale(),
                                  affinity_weight(*model_) / static_cast<float>(heads),
                                  {const_cast<float*>(a.log_sum_exp), a.head_stride, a.row_stride},
                                  mean});
      linear(w.out_proj, a.out, n, attended_out);
    } else {
      auto* attended = static_cast<float*>(normalised);
      attend(arena, static_cast<const float*>(qkv), n, attended, nullptr, mean);
      linear(w.out_proj, attended, n, attended_out);
    }
  }
  void* u = take(arena, n * hidden, dtype);
  gpu_->layer_norm({x, attended_out, bfloat16, n, width, w.ln_2.gamma, w.ln_2.beta, normalised, bfloat16, nullptr});
  linear(w.c_fc, normalised, n, u);
  gpu_->activate({u, u, bfloat16, exact_gelu(), n * hidden});
  linear(w.c_proj, u, n, out);
}

void CudaDevice::encode_image(Context& c, const Grid& grid, const float* patches, float* x, float* mean_attention) {
  const int64_t width = model_->image.width, patch_count = grid.patches(), n = patch_count + 1, layers = model_->shape.layers;
  const Weights& w = *weights_;
  linear(w.patch_embedding, patches, patch_count, x + width);
  gpu_->add_positions({x, grid.height, grid.width, width, model_->shape.resolution / model_->shape.patch, w.class_embedding, w.positions});
  gpu_->layer_norm({x, nullptr, false, n, width, w.ln_pre.gamma, w.ln_pre.beta, x, false, nullptr});
  gpu_->clear(mean_attention, patch_count * patch_count);
  if (layers < 2) return;
  const torch::Dtype dtype = w.blocks.front().in_proj.dtype;
  Arena::Scope scope(c.arena);
  void* out = take(c.arena, n * width, dtype);
  for (int64_t i = 0; i + 1 < layers; ++i) {
    c.checkpoint();
    run_block(c.arena, w.blocks[static_cast<size_t>(i)], n, x, i > 0 ? out : nullptr, out,
              i + kAffinityBlocks < layers ? nullptr : mean_attention);
  }
  gpu_->layer_norm({x, out, dtype == torch::Dtype::kBFloat16, n, width, nullptr, nullptr, nullptr, false, nullptr});
}

}  // namespace clip_es::cuda
