// preprocess and encode_images. The residual stream is float32 in every precision. Products compute in the blocks' type.
#include "clip/image_tower.h"

#include <algorithm>

#include "clip/preprocess.h"
#include "device/cuda/device.h"
#include "ops/resize_weights.h"

namespace clip_es::cuda {
namespace {

constexpr size_t kScoreBytes = size_t{64} << 20;  // the memory for float32 scores

void* take(DeviceArena& arena, int64_t count, torch::Dtype dtype) {
  if (dtype == torch::Dtype::kFloat32) return cuda::take<float>(arena, count);
  return cuda::take<uint16_t>(arena, count);
}

}  // namespace

// The kernels read packed grey, RGB and RGBA. Other photos become RGB while they are copied to pinned memory.
CudaDevice::SentPhoto CudaDevice::send_photo(DeviceArena& arena, const Image& image) const {
  const int64_t pixels = image.size().pixels();
  if (image.is_packed() && !image.blue_first)
    return {send(arena, std::span(image.data, static_cast<size_t>(pixels * image.channels))), image.channels};
  const std::span<uint8_t> pinned = staging_.take<uint8_t>(3 * pixels);
  copy_rgb(image, pinned);
  uint8_t* const rgb = cuda::take<uint8_t>(arena, 3 * pixels);
  gpu_->copy_in(std::span<const uint8_t>(pinned), rgb);
  return {rgb, 3};
}

// One resize in two passes, as in Pillow. The first pass also converts grey and RGBA to RGB, so it runs even if the width does not change.
const uint8_t* CudaDevice::resize(DeviceArena& arena, const uint8_t* image, int64_t channels, PhotoSize from, PhotoSize to) const {
  const bool has_row_pass = from.width != to.width || channels != 3, has_column_pass = from.height != to.height;
  if (!has_row_pass && !has_column_pass) return image;
  const ops::ResizeWeights h = ops::resize_weights(scratch_, from.width, to.width),
                           v = ops::resize_weights(scratch_, from.height, to.height);
  using Values = std::span<const int32_t>;
  const auto [h_first, h_count, h_weights, v_first, v_count, v_weights] =
      send_all(arena, Values(h.first), Values(h.count), Values(h.weights), Values(v.first), Values(v.count), Values(v.weights));
  if (has_row_pass) {
    uint8_t* const rows = cuda::take<uint8_t>(arena, 3 * to.width * from.height);
    gpu_->resize_rows({image, channels, from.width, from.height, to.width, {h_first, h_count, h_weights, h.taps}, rows});
    image = rows;
  }
  if (has_column_pass) {
    uint8_t* const columns = cuda::take<uint8_t>(arena, 3 * to.width * to.height);
    gpu_->resize_columns({image, to.width, to.height, {v_first, v_count, v_weights, v.taps}, columns});
    image = columns;
  }
  return image;
}

void CudaDevice::preprocess(DeviceContext& c, const Image& image, int64_t max_side, DeviceSpan<float> patches) {
  const int64_t patch = model_->shape.patch;
  const Grid grid = patch_grid(image.size(), patch, max_side);
  const PhotoSize reduced = reduced_size(image.size(), max_side), network{grid.width * patch, grid.height * patch};
  DeviceArena::Scope scope(c.arena);
  Arena::Scope host_scope(scratch_);
  auto [rgb, channels] = send_photo(c.arena, image);
  if (reduced != image.size()) {
    rgb = resize(c.arena, rgb, channels, image.size(), reduced);
    channels = 3;
  }
  rgb = resize(c.arena, rgb, channels, reduced, network);
  gpu_->extract_patches({rgb, grid.height, grid.width, patch, weights_->pixel_values, address(patches)});
}

void CudaDevice::attend(DeviceArena& arena, const float* qkv, int64_t n, float* out, float* log_sum_exp, float* mean) const {
  const int64_t heads = model_->image.heads, width = model_->image.width, size = head_size();
  const auto most = static_cast<int64_t>(kScoreBytes / sizeof(float)) / (heads * n);
  const int64_t rows_at_once = std::clamp<int64_t>(most, 1, n);
  const auto part = [&](int64_t which, int64_t first, int64_t rows) {
    return torch::Batch{qkv + first * 3 * width + which * width, torch::Dtype::kFloat32, heads, rows, size, size, 3 * width, 1};
  };
  DeviceArena::Scope scope(arena);
  float* const scores = cuda::take(arena, heads * rows_at_once * n);
  for (int64_t first = 0; first < n; first += rows_at_once) {
    const int64_t rows = std::min(rows_at_once, n - first);
    const torch::Batch block{scores, torch::Dtype::kFloat32, heads, rows, n, rows * n, n, 1};
    gpu_->torch().bmm(part(0, first, rows), torch::transposed(part(1, 0, n)), block);
    gpu_->softmax({scores, heads, rows, n, first, scale(), {log_sum_exp, n, 1}});
    gpu_->torch().bmm(block, part(2, 0, n), {out + first * width, torch::Dtype::kFloat32, heads, rows, size, size, width, 1});
    if (mean) gpu_->add_head_mean({scores, heads, rows, n, first, affinity_weight(*model_) / static_cast<float>(heads), mean});
  }
}

// LibTorch's attention, then out_proj. Our own kernel adds to the means.
void CudaDevice::attend_in_bfloat16(const EqualImages& equal, const void* qkv, const Linear& out_proj, void* out, bool add_means) const {
  const int64_t width = model_->image.width, heads = model_->image.heads, n = equal.n;
  const torch::Backend::Attended a = gpu_->torch().attention(qkv, equal.images, n, width, heads);
  if (add_means)
    gpu_->add_attention_mean({.qkv = qkv,
                              .images = equal.images,
                              .n = n,
                              .width = width,
                              .heads = heads,
                              .scale = scale(),
                              .factor = affinity_weight(*model_) / static_cast<float>(heads),
                              .log_sum_exp = {const_cast<float*>(a.log_sum_exp), a.head_stride, a.row_stride},
                              .image_stride = a.image_stride,
                              .mean = equal.means});
  linear(out_proj, a.out, equal.images * n, out);
}

// Adds `pending`, the output of the previous block's MLP, to x. Then computes the block. The output of its own MLP is written to `out` and
// not added to x.
void CudaDevice::run_block(DeviceArena& arena, const Block& w, std::span<const EqualImages> batch, float* x, const void* pending, void* out,
                           bool add_means) const {
  const torch::Dtype dtype = w.in_proj.dtype;
  const int64_t width = model_->image.width, hidden = w.c_fc.outputs;
  const int64_t tokens = batch.back().first_token + batch.back().images * batch.back().n;
  const bool bfloat16 = dtype == torch::Dtype::kBFloat16;
  DeviceArena::Scope scope(arena);
  void *normalised = take(arena, tokens * width, dtype), *attended_out = take(arena, tokens * width, dtype);
  {
    DeviceArena::Scope attention_scope(arena);
    void* qkv = take(arena, 3 * tokens * width, dtype);
    gpu_->layer_norm({x, pending, bfloat16, tokens, width, w.ln_1.gamma, w.ln_1.beta, normalised, bfloat16, nullptr});
    linear(w.in_proj, normalised, tokens, qkv);
    if (bfloat16) {
      for (const EqualImages& equal : batch)
        attend_in_bfloat16(equal, static_cast<const uint16_t*>(qkv) + equal.first_token * 3 * width, w.out_proj,
                           static_cast<uint16_t*>(attended_out) + equal.first_token * width, add_means);
    } else {
      auto* attended = static_cast<float*>(normalised);
      for (const EqualImages& equal : batch)
        for (int64_t i = 0; i < equal.images; ++i) {
          const int64_t first = equal.first_token + i * equal.n, patches = equal.n - 1;
          attend(arena, static_cast<const float*>(qkv) + first * 3 * width, equal.n, attended + first * width, nullptr,
                 add_means ? equal.means + i * patches * patches : nullptr);
        }
      linear(w.out_proj, attended, tokens, attended_out);
    }
  }
  void* u = take(arena, tokens * hidden, dtype);
  gpu_->layer_norm({x, attended_out, bfloat16, tokens, width, w.ln_2.gamma, w.ln_2.beta, normalised, bfloat16, nullptr});
  linear(w.c_fc, normalised, tokens, u);
  gpu_->activate({u, u, bfloat16, exact_gelu(), tokens * hidden});
  linear(w.c_proj, u, tokens, out);
}

// The embeddings of all patches by one product, then the tokens of each run of images with the same grid by one kernel.
void CudaDevice::embed_patches(DeviceArena& arena, HostSpan<const Grid> grids, const float* patches, float* x) const {
  const Weights& w = *weights_;
  const int64_t width = model_->image.width, side = model_->shape.resolution / model_->shape.patch;
  int64_t count = 0;
  for (const Grid& grid : grids) count += grid.patches();
  DeviceArena::Scope scope(arena);
  const float* embedded = cuda::take(arena, count * width);
  linear(w.patch_embedding, patches, count, const_cast<float*>(embedded));
  for (size_t first = 0, end; first < grids.size(); first = end) {
    const Grid& grid = grids[first];
    for (end = first + 1; end < grids.size() && grids[end].height == grid.height && grids[end].width == grid.width;) ++end;
    const auto images = static_cast<int64_t>(end - first);
    gpu_->add_positions({embedded, x, images, grid.height, grid.width, width, side, w.class_embedding, w.positions});
    embedded += images * grid.patches() * width;
    x += images * grid.tokens() * width;
  }
}

// Groups neighbours that have equal numbers of tokens and whose means are neighbours in memory.
std::span<CudaDevice::EqualImages> CudaDevice::group_images(HostSpan<const Grid> grids, HostSpan<const DeviceSpan<float>> means) const {
  const std::span<EqualImages> groups = scratch_.take<EqualImages>(grids.size());
  size_t count = 0;
  int64_t tokens = 0;
  for (size_t i = 0; i < grids.size(); ++i) {
    const int64_t n = grids[i].tokens();
    float* const mean = address(means[i]);
    EqualImages* const last = count > 0 ? &groups[count - 1] : nullptr;
    if (last && last->n == n && mean == last->means + last->images * (n - 1) * (n - 1)) ++last->images;
    else groups[count++] = {tokens, n, 1, mean};
    tokens += n;
  }
  return groups.first(count);
}

void CudaDevice::encode_images(DeviceContext& c, HostSpan<const Grid> grids, DeviceSpan<const float> patches, DeviceSpan<float> tokens,
                               HostSpan<const DeviceSpan<float>> mean_attention) {
  const int64_t width = model_->image.width, layers = model_->shape.layers;
  const Weights& w = *weights_;
  Arena::Scope host_scope(scratch_);
  const std::span<const EqualImages> batch = group_images(grids, mean_attention);
  const int64_t count = batch.back().first_token + batch.back().images * batch.back().n;
  float* const x = address(tokens);
  clear(mean_attention);
  embed_patches(c.arena, grids, address(patches), x);
  gpu_->layer_norm({x, nullptr, false, count, width, w.ln_pre.gamma, w.ln_pre.beta, x, false, nullptr});
  if (layers < 2) return;
  const torch::Dtype dtype = w.blocks.front().in_proj.dtype;
  DeviceArena::Scope scope(c.arena);
  void* out = take(c.arena, count * width, dtype);
  for (int64_t i = 0; i + 1 < layers; ++i) {
    c.checkpoint();
    run_block(c.arena, w.blocks[i], batch, x, i > 0 ? out : nullptr, out, i + kAffinityBlocks >= layers);
  }
  gpu_->layer_norm({x, out, dtype == torch::Dtype::kBFloat16, count, width, nullptr, nullptr, nullptr, false, nullptr});
}

}  // namespace clip_es::cuda
