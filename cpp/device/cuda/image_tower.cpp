// preprocess and encode_images. The residual stream is float32 in every precision. Products compute in the blocks' type.
#include "clip/image_tower.h"

#include <algorithm>

#include "clip/preprocess.h"
#include "device/cuda/device.h"
#include "ops/resize_weights.h"

namespace clip_es::cuda {

// The kernels read packed grey, RGB and RGBA. Other photos become RGB while they are copied to pinned memory. All photos are one copy.
std::span<CudaDevice::SentPhoto> CudaDevice::send_photos(DeviceArena& arena, HostSpan<const Image> images) const {
  const auto channels_of = [](const Image& image) { return image.is_packed() && !image.blue_first ? image.channels : 3; };
  const std::span<SentPhoto> photos = scratch_.take<SentPhoto>(images.size());
  size_t bytes = 0;
  for (const Image& image : images) bytes += image.size().pixels() * channels_of(image);
  const std::span<uint8_t> pinned = staging_.take<uint8_t>(bytes);
  const uint8_t* const sent = cuda::take<uint8_t>(arena, static_cast<int64_t>(bytes));
  size_t offset = 0;
  for (size_t i = 0; i < images.size(); ++i) {
    const Image& image = images[i];
    const int64_t channels = channels_of(image);
    const std::span<uint8_t> to = pinned.subspan(offset, image.size().pixels() * channels);
    if (image.is_packed() && !image.blue_first) std::copy_n(image.data, to.size(), to.begin());
    else copy_rgb(image, to);
    photos[i] = {sent + offset, channels, image.size()};
    offset += to.size();
  }
  gpu_->copy_in(std::span<const uint8_t>(pinned), const_cast<uint8_t*>(sent));
  return photos;
}

// Sends the taps of several axes by one copy.
void CudaDevice::send_taps(DeviceArena& arena, const AxisList& axes) const {
  if (axes.count == 0) return;
  Arena::Scope host_scope(scratch_);
  size_t count = 0;
  for (const auto& [weights, to] : axes.taken()) count += weights.first.size() + weights.count.size() + weights.weights.size();
  const std::span<int32_t> values = scratch_.take<int32_t>(count);
  auto next = values.begin();
  for (const auto& [weights, to] : axes.taken())
    for (const std::span<const int32_t> part : {weights.first, weights.count, weights.weights}) next = std::ranges::copy(part, next).out;
  const int32_t* sent = send(arena, std::span<const int32_t>(values));
  for (const auto& [weights, to] : axes.taken()) {
    *to = {sent, sent + weights.first.size(), sent + weights.first.size() + weights.count.size(), weights.taps};
    sent = to->weights + weights.weights.size();
  }
}

// Adds the first pass of a resize, unless the photo has this width and is RGB. The pass also converts grey and RGBA to RGB.
void CudaDevice::add_row_pass(DeviceArena& arena, SentPhoto& photo, int64_t width, ResizeRows& rows, AxisList& axes) const {
  if (photo.size.width == width && photo.channels == 3) return;
  uint8_t* const out = cuda::take<uint8_t>(arena, 3 * width * photo.size.height);
  ResizeRowsPhoto& added = rows.photos.add({photo.data, photo.channels, photo.size.width, photo.size.height, width, {}, out});
  axes.add({ops::resize_weights(scratch_, photo.size.width, width), &added.taps});
  photo = {out, 3, {width, photo.size.height}};
}

// Resizes each photo in two passes, as in Pillow. A photo that has its size and is RGB is left as it is.
void CudaDevice::resize(DeviceArena& arena, std::span<SentPhoto> photos, HostSpan<const PhotoSize> sizes) const {
  Arena::Scope host_scope(scratch_);
  AxisList axes;
  ResizeRows rows{};
  ResizeColumns columns{};
  for (size_t i = 0; i < photos.size(); ++i) {
    const PhotoSize to = sizes[i];
    add_row_pass(arena, photos[i], to.width, rows, axes);
    if (photos[i].size.height == to.height) continue;
    uint8_t* const out = cuda::take<uint8_t>(arena, 3 * to.width * to.height);
    ResizeColumnsPhoto& added = columns.photos.add({photos[i].data, to.width, to.height, {}, out});
    axes.add({ops::resize_weights(scratch_, photos[i].size.height, to.height), &added.taps});
    photos[i] = {out, 3, to};
  }
  send_taps(arena, axes);
  gpu_->resize_rows(rows);
  gpu_->resize_columns(columns);
}

// Resizes each photo to its grid and writes its patches. The second pass cuts them, so it also runs if the height does not change: then
// each weight is 0 or 1.
void CudaDevice::resize_to_patches(DeviceArena& arena, std::span<SentPhoto> photos, HostSpan<const Grid> grids, void* patches) const {
  Arena::Scope host_scope(scratch_);
  const int64_t patch = model_->shape.patch;
  AxisList axes;
  ResizeRows rows{};
  ExtractPatches extract{
      .photos = {}, .patch = patch, .row = patch_row(), .pixel_values = weights_->pixel_values, .bfloat16 = is_bfloat16()};
  for (size_t i = 0; i < photos.size(); ++i) {
    const Grid& grid = grids[i];
    add_row_pass(arena, photos[i], grid.width * patch, rows, axes);
    ExtractPatchesPhoto& added = extract.photos.add({photos[i].data, grid.height, grid.width, {}, patches});
    axes.add({ops::resize_weights(scratch_, photos[i].size.height, grid.height * patch), &added.taps});
    patches = advance(patches, grid.patches() * patch_row(), dtype());
  }
  send_taps(arena, axes);
  gpu_->resize_rows(rows);
  gpu_->extract_patches(extract);
}

void CudaDevice::preprocess_at_once(DeviceArena& arena, HostSpan<const Image> images, int64_t max_side, void* patches) const {
  DeviceArena::Scope scope(arena);
  Arena::Scope host_scope(scratch_);
  const std::span<SentPhoto> photos = send_photos(arena, images);
  const std::span<PhotoSize> reduced = scratch_.take<PhotoSize>(images.size());
  const std::span<Grid> grids = scratch_.take<Grid>(images.size());
  for (size_t i = 0; i < images.size(); ++i) {
    reduced[i] = reduced_size(images[i].size(), max_side);
    grids[i] = patch_grid(images[i].size(), model_->shape.patch, max_side);
  }
  if (!std::ranges::equal(images, reduced, {}, &Image::size)) resize(arena, photos, reduced);
  resize_to_patches(arena, photos, grids, patches);
}

void CudaDevice::preprocess(DeviceContext& c, HostSpan<const Image> images, int64_t max_side, DeviceSpan<float> patches) {
  void* next = address(patches);
  for (size_t first = 0, end; first < images.size(); first = end) {
    c.checkpoint();
    int64_t pixels = 0, values = 0;
    for (end = first; end < images.size() && end - first < kMaxPhotos; ++end) {
      pixels += images[end].size().pixels();
      if (end > first && pixels > limits_.pixels) break;
      values += patch_grid(images[end].size(), model_->shape.patch, max_side).patches() * patch_row();
    }
    preprocess_at_once(c.arena, images.subspan(first, end - first), max_side, next);
    next = advance(next, values, dtype());
  }
}

// Attention of all images in float32.
void CudaDevice::attend_in_float32(DeviceArena& arena, std::span<const EqualImages> batch, const float* qkv, float* out, Mean mean) const {
  const int64_t heads = model_->image.heads, width = model_->image.width;
  const int64_t tokens = batch.back().first_token + batch.back().images * batch.back().n;
  DeviceArena::Scope scope(arena);
  float* log_sum_exp = cuda::take(arena, heads * tokens);
  Attention attention{.photos = {}, .width = width, .heads = heads, .scale = scale(), .prior = {}};
  AddAttentionMean means{
      .photos = {}, .width = width, .heads = heads, .scale = scale(), .factor = mean_factor(), .is_first = mean == Mean::kSet};
  const auto launch = [&] {
    gpu_->attention(attention);
    if (mean != Mean::kNone) gpu_->add_attention_mean(means);
    attention.photos.count = means.photos.count = 0;
  };
  for (const EqualImages& equal : batch)
    for (int64_t i = 0; i < equal.images; ++i) {
      if (attention.photos.count == kMaxPhotos) launch();
      const int64_t n = equal.n, first = equal.first_token + i * n;
      const float* const own = qkv + first * 3 * width;
      attention.photos.add({own, own + width, own + 2 * width, n, out + first * width, log_sum_exp + heads * first});
      means.photos.add({own, log_sum_exp + heads * first, n, equal.mean(i)});
    }
  launch();
}

// LibTorch's attention and out_proj for each group of equal images. Our own kernel adds to the means of all images.
void CudaDevice::attend_in_bfloat16(std::span<const EqualImages> batch, const uint16_t* qkv, const Linear& out_proj, uint16_t* out,
                                    Mean mean) const {
  const int64_t width = model_->image.width, heads = model_->image.heads;
  std::vector<torch::Backend::Attended> attended;  // keeps the log-sum-exps until the last launch
  AddBFloat16AttentionMean means{
      .photos = {}, .width = width, .heads = heads, .scale = scale(), .factor = mean_factor(), .is_first = mean == Mean::kSet};
  const auto launch = [&] {
    gpu_->add_bfloat16_attention_mean(means);
    means.photos.count = 0;
  };
  for (const EqualImages& equal : batch) {
    const int64_t n = equal.n;
    const uint16_t* const own = qkv + equal.first_token * 3 * width;
    const torch::Backend::Attended& a = attended.emplace_back(gpu_->torch().attention(own, equal.images, n, width, heads));
    linear(out_proj, a.out, equal.images * n, out + equal.first_token * width);
    for (int64_t i = 0; mean != Mean::kNone && i < equal.images; ++i) {
      if (means.photos.count == kMaxPhotos) launch();
      const LogSumExp log_sum_exp{a.log_sum_exp + i * a.image_stride, a.head_stride, a.row_stride};
      means.photos.add({own + i * n * 3 * width, log_sum_exp, n, equal.mean(i)});
    }
  }
  if (mean != Mean::kNone) launch();
}

// Adds `pending`, the output of the previous block's MLP, to x. Then computes the block. The output of its own MLP is written to `out` and
// not added to x.
void CudaDevice::run_block(DeviceArena& arena, const Block& w, std::span<const EqualImages> batch, float* x, const void* pending, void* out,
                           Mean mean) const {
  const int64_t width = model_->image.width, hidden = w.c_fc.outputs;
  const int64_t tokens = batch.back().first_token + batch.back().images * batch.back().n;
  const bool bfloat16 = is_bfloat16();
  DeviceArena::Scope scope(arena);
  void *normalised = take(arena, tokens * width, dtype()), *attended_out = take(arena, tokens * width, dtype());
  {
    DeviceArena::Scope attention_scope(arena);
    void* qkv = take(arena, 3 * tokens * width, dtype());
    gpu_->layer_norm({x, pending, bfloat16, tokens, width, w.ln_1.gamma, w.ln_1.beta, normalised, bfloat16, nullptr});
    linear(w.in_proj, normalised, tokens, qkv);
    if (bfloat16) {
      attend_in_bfloat16(batch, static_cast<const uint16_t*>(qkv), w.out_proj, static_cast<uint16_t*>(attended_out), mean);
    } else {
      auto* attended = static_cast<float*>(normalised);
      attend_in_float32(arena, batch, static_cast<const float*>(qkv), attended, mean);
      linear(w.out_proj, attended, tokens, attended_out);
    }
  }
  void* u = take(arena, tokens * hidden, dtype());
  gpu_->layer_norm({x, attended_out, bfloat16, tokens, width, w.ln_2.gamma, w.ln_2.beta, normalised, bfloat16, nullptr});
  linear(w.c_fc, normalised, tokens, u);
  gpu_->activate({u, u, bfloat16, exact_gelu(), tokens * hidden});
  linear(w.c_proj, u, tokens, out);
}

// The embeddings of all patches by one product, then the tokens of all images, after ln_pre.
void CudaDevice::embed_tokens(DeviceArena& arena, HostSpan<const Grid> grids, const void* patches, float* x) const {
  const Weights& w = *weights_;
  const int64_t width = model_->image.width, side = model_->shape.resolution / model_->shape.patch;
  int64_t count = 0;
  for (const Grid& grid : grids) count += grid.patches();
  DeviceArena::Scope scope(arena);
  float* embedded = cuda::take(arena, count * width);
  multiply(matrix(patches, count, w.patch_embedding.inputs),
           torch::transposed(matrix(w.patch_embedding.weight, width, w.patch_embedding.inputs)), embedded);
  for_photos<EmbedTokensPhoto>(
      grids.size(),
      [&](size_t i) {
        const EmbedTokensPhoto photo{embedded, x, grids[i].height, grids[i].width};
        embedded += grids[i].patches() * width;
        x += grids[i].tokens() * width;
        return photo;
      },
      [&](const auto& photos) {
        gpu_->embed_tokens({photos, width, side, w.class_embedding, w.positions, w.ln_pre.gamma, w.ln_pre.beta});
      });
}

// Groups neighbours that have equal numbers of tokens and whose means are neighbours in memory. Without means, all are null.
std::span<CudaDevice::EqualImages> CudaDevice::group_images(HostSpan<const Grid> grids, HostSpan<const DeviceSpan<float>> means) const {
  const std::span<EqualImages> groups = scratch_.take<EqualImages>(grids.size());
  size_t count = 0;
  int64_t tokens = 0;
  for (size_t i = 0; i < grids.size(); ++i) {
    const int64_t n = grids[i].tokens();
    float* const mean = address(means[i]);
    EqualImages* const last = count > 0 ? &groups[count - 1] : nullptr;
    if (last && last->n == n && mean == last->mean(last->images)) ++last->images;
    else groups[count++] = {tokens, n, 1, mean};
    tokens += n;
  }
  return groups.first(count);
}

void CudaDevice::encode_images(DeviceContext& c, HostSpan<const Grid> grids, DeviceSpan<const float> patches, DeviceSpan<float> tokens,
                               HostSpan<const DeviceSpan<float>> mean_attention) {
  run_tower(c, grids, address(patches), address(tokens), mean_attention, {});
}

// x: the tokens that enter the last block. means: if the first one is empty, none is computed. block_outputs: as in
// clip_es::encode_images; null if an output is not needed.
void CudaDevice::run_tower(DeviceContext& c, HostSpan<const Grid> grids, const void* patches, float* x,
                           HostSpan<const DeviceSpan<float>> means, HostSpan<float* const> block_outputs) const {
  const int64_t width = model_->image.width, layers = model_->shape.layers;
  const Weights& w = *weights_;
  Arena::Scope host_scope(scratch_);
  const std::span<const EqualImages> batch = group_images(grids, means);
  const int64_t count = batch.back().first_token + batch.back().images * batch.back().n;
  const bool has_means = !means.front().empty();
  DeviceArena::Scope scope(c.arena);
  void* const out = take(c.arena, count * width, dtype());
  bool is_pending = false;  // the output of the last MLP, which is in `out`, is not added to x
  const auto add_pending = [&] {
    if (is_pending) gpu_->layer_norm({x, out, is_bfloat16(), count, width, nullptr, nullptr, nullptr, false, nullptr});
    is_pending = false;
  };
  const auto keep = [&](int64_t block) {
    if (block_outputs.empty() || !block_outputs[block]) return;
    add_pending();
    gpu_->copy(x, count * width * sizeof(float), block_outputs[block]);
  };
  embed_tokens(c.arena, grids, patches, x);
  keep(0);
  if (layers < 2 && has_means)  // the last block adds to the means
    for (const DeviceSpan<float>& mean : means) gpu_->clear(address(mean), static_cast<int64_t>(mean.size()));
  const int64_t first_mean = std::max<int64_t>(layers - kAffinityBlocks, 0);
  for (int64_t i = 0; i + 1 < layers; ++i) {
    c.checkpoint();
    run_block(c.arena, w.blocks[i], batch, x, is_pending ? out : nullptr, out,
              !has_means || i < first_mean ? Mean::kNone
              : i == first_mean            ? Mean::kSet
                                           : Mean::kAdd);
    is_pending = true;
    keep(i + 1);
  }
  add_pending();
}

}  // namespace clip_es::cuda
