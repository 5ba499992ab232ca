// patch_features: the steps of cam/patch_features.cpp and cam/changed_block.cpp. Products and attention run on the GPU, in the tower for up
// to kMaxPhotos windows at once. The host finds and repairs outliers, because that sorts distances; it reads the tokens for it.
#include "cam/changed_block.h"
#include "cam/middle_blocks.h"
#include "cam/token_similarity.h"
#include "device/cuda/device.h"

namespace clip_es::cuda {

// The features of photos or windows of one size, which the tower encodes together. The other steps run for one of them after the other.
class CudaDevice::PhotoFeatures {
 public:
  // Encodes `images` photos, whose patches lie one after the other.
  PhotoFeatures(CudaDevice& device, DeviceContext& context, const SimilaritySettings& settings, const Grid& grid, int64_t images,
                const void* patch_rows, float* mean_attention)
      : device_(device), c_(context), settings_(settings), grid_(grid), images_(images) {
    const int64_t count = model().shape.layers, floats = images * grid.tokens() * width();
    const auto outputs = device_.scratch_.take<float*>(count);
    std::ranges::fill(outputs, nullptr);
    for_needed_outputs(settings_, count, [&](int64_t i) {
      if (!outputs[i]) outputs[i] = take(c_.arena, floats);
    });
    outputs_ = outputs;
    all_tokens_ = take(c_.arena, floats);
    encode(patch_rows, mean_attention);
  }

  // Writes features (images, N, E).
  void features(float* rows) {
    DeviceArena::Scope scope(c_.arena);
    send_prior();
    const int64_t count = images_ * patches(), embedding = model().shape.embedding;
    float* const x = take(c_.arena, count * width());
    for (int64_t image = 0; image < images_; ++image) last_block(image, x + image * patches() * width());
    normalise(device_.weights_->ln_post, x, count, x, torch::Dtype::kFloat32);
    device_.multiply(matrix(x, count, width()), matrix(device_.weights_->projection, width(), embedding), rows);
    gpu().unit_rows({rows, count, embedding, rows});
  }

 private:
  const Model& model() const { return *device_.model_; }
  const Gpu& gpu() const { return *device_.gpu_; }
  int64_t width() const { return model().image.width; }
  int64_t patches() const { return grid_.patches(); }
  float* patches_of(float* tokens) const { return tokens + width(); }
  float* output_of(int64_t block) const { return outputs_[kept_output(block, model().shape.layers)] + first_; }
  static torch::Batch matrix(const float* data, int64_t rows, int64_t columns) {
    return torch::dense(data, torch::Dtype::kFloat32, rows, columns);
  }
  void add(float* out, float factor, const float* added, float added_factor, int64_t count) const {
    gpu().add_scaled({out, added, count, count, factor, added_factor});
  }
  void copy(const float* from, int64_t count, float* to) const { gpu().copy(from, count * sizeof(float), to); }
  void normalise(const Norm& norm, const float* x, int64_t rows, void* y, torch::Dtype dtype) const {
    gpu().layer_norm(
        {const_cast<float*>(x), nullptr, false, rows, width(), norm.gamma, norm.beta, y, dtype == torch::Dtype::kBFloat16, nullptr});
  }

  // Sets the tokens and the outputs. mean (N, N): that of all blocks, with the unchanged last one, of a single image; null if it is not
  // needed.
  void encode(const void* patch_rows, float* mean) {
    const int64_t n = grid_.tokens();
    const auto grids = device_.scratch_.take<Grid>(images_);
    const auto means = device_.scratch_.take<DeviceSpan<float>>(images_);
    std::ranges::fill(grids, grid_);
    std::ranges::fill(means, DeviceAccess::span(mean, mean ? patches() * patches() : 0));
    device_.run_tower(c_, grids, patch_rows, all_tokens_, means, outputs_);
    if (!mean) return;
    DeviceArena::Scope scope(c_.arena);
    float *const qkv = take(c_.arena, 3 * n * width()), *const out = take(c_.arena, n * width());
    float* const log_sum_exp = take(c_.arena, model().image.heads * n);
    project_tokens(device_.weights_->blocks.back(), all_tokens_, n, qkv);
    attend({qkv, qkv + width(), qkv + 2 * width(), n, out, log_sum_exp}, {});
    AddAttentionMean added{.photos = {},
                           .width = width(),
                           .heads = model().image.heads,
                           .scale = device_.scale(),
                           .factor = device_.mean_factor(),
                           .is_first = false};
    added.photos.add({qkv, log_sum_exp, n, mean});
    gpu().add_attention_mean(added);
  }

  // x (N, D): what the changed last block makes of the image with this number.
  void last_block(int64_t image, float* x) {
    DeviceArena::Scope scope(c_.arena);
    Arena::Scope host_scope(device_.scratch_);
    first_ = image * grid_.tokens() * width();
    tokens_ = all_tokens_ + first_;
    middle_ = late_ = nullptr;
    repair();
    compare_middle_blocks();
    run(tokens_, x);
    if (settings_.fuse) add_fused(x);
  }

  void send_prior() {
    if (settings_.neighbourhood == 0) return;
    Arena::Scope host_scope(device_.scratch_);
    const auto [rows, columns] =
        device_.send_all(c_.arena, std::span<const float>(gaussian(device_.scratch_, grid_.height, settings_.neighbourhood)),
                         std::span<const float>(gaussian(device_.scratch_, grid_.width, settings_.neighbourhood)));
    prior_ = {rows, columns, grid_.height, grid_.width};
  }

  void attend(const AttentionPhoto& photo, const NeighbourPrior& prior) const {
    Attention attention{.photos = {}, .width = width(), .heads = model().image.heads, .scale = device_.scale(), .prior = prior};
    attention.photos.add(photo);
    gpu().attention(attention);
  }

  // qkv (n, 3 D) of a block for x (n, D), in float32 also if the product is bfloat16.
  void project_tokens(const Block& block, const float* x, int64_t n, float* qkv) const {
    DeviceArena::Scope scope(c_.arena);
    void* const y = take(c_.arena, n * width(), device_.dtype());
    normalise(block.ln_1, x, n, y, device_.dtype());
    linear(block.in_proj, y, n, qkv);
  }

  // y = x W^T + b with x of the layer's type and a float32 y.
  void linear(const Linear& layer, const void* x, int64_t rows, float* y) const {
    if (!device_.is_bfloat16()) return device_.linear(layer, x, rows, y);
    DeviceArena::Scope scope(c_.arena);
    void* const rounded = take(c_.arena, rows * layer.outputs, device_.dtype());
    device_.linear(layer, x, rows, rounded);
    gpu().convert({rounded, false, y, rows * layer.outputs});
  }

  void repair() {
    outlier_ = device_.scratch_.take<uint8_t>(patches());
    if (settings_.repair == 0) return;
    on_host(patches_of(tokens_), [&](HostContext& host, std::span<float> values) {
      find_outliers(host, values, settings_.repair, outlier_);
      repair_patches(host, outlier_, grid_, values);
    });
  }

  // Changes patches (N, D) on the host.
  template <class Change>
  void on_host(float* values, Change change) {
    Arena::Scope scope(device_.scratch_);
    const auto copied = device_.scratch_.take<float>(patches() * width());
    device_.fetch(values, std::ssize(copied), copied.data());
    device_.wait();
    HostContext host{c_.pool, device_.scratch_, c_.cancelled};
    change(host, copied);
    gpu().copy_in(std::span<const float>(copied), values);
  }

  // Sets middle_ and late_, and averages the tokens' patches.
  void compare_middle_blocks() {
    if (!settings_.mid_attention && !settings_.aggregate) return;
    const int64_t layers = model().shape.layers, n = patches();
    middle_ = take(c_.arena, n * n);
    {
      DeviceArena::Scope scope(c_.arena);
      float* const repaired = take(c_.arena, n * width());
      copy(patches_of(output_of(block_at(kMidBlock, layers))), n * width(), repaired);
      if (settings_.repair > 0)
        on_host(repaired, [&](HostContext& host, std::span<float> values) { repair_patches(host, outlier_, grid_, values); });
      compare(repaired, middle_);
    }
    if (settings_.aggregate) {
      late_ = take(c_.arena, n * n);
      copy(middle_, n * n, late_);
      gpu().averaging_weights({late_, n, kLeastSimilarity});
      average(patches_of(tokens_));
      compare(patches_of(output_of(block_at(kLateBlock, layers))), late_);
      gpu().averaging_weights({late_, n, kLeastSimilarity});
    }
    if (settings_.mid_attention) {
      DeviceArena::Scope scope(c_.arena);
      gpu().similarity_attention({middle_, n, kSharpness, cuda::take<double>(c_.arena, n)});
    } else {
      middle_ = nullptr;
    }
  }

  // similarity (N, N): cosines of the patches x (N, D).
  void compare(const float* x, float* similarity) const {
    DeviceArena::Scope scope(c_.arena);
    float* const unit = take(c_.arena, patches() * width());
    gpu().unit_rows({x, patches(), width(), unit});
    device_.multiply(matrix(unit, patches(), width()), torch::transposed(matrix(unit, patches(), width())), similarity);
  }

  // x (N, D) = late_ x
  void average(float* x) const {
    DeviceArena::Scope scope(c_.arena);
    float* const copied = take(c_.arena, patches() * width());
    copy(x, patches() * width(), copied);
    device_.multiply(matrix(late_, patches(), patches()), matrix(copied, patches(), width()), x);
  }

  // The changed last block. tokens (n, D) -> out (N, D).
  void run(const float* tokens, float* out) const {
    c_.checkpoint();
    const int64_t others = settings_.attend_class ? 1 : 0, n = patches() + others, count = patches() * width();
    const float* const x = tokens + width();  // the patches
    const Block& block = device_.weights_->blocks.back();
    DeviceArena::Scope scope(c_.arena);
    float* const attended = take(c_.arena, n * width());
    attend_changed(x - others * width(), n, attended);
    const void* from = attended + others * width();
    if (device_.is_bfloat16()) {
      void* const rounded = take(c_.arena, count, device_.dtype());
      gpu().convert({from, true, rounded, count});
      from = rounded;
    }
    linear(block.out_proj, from, patches(), out);
    if (settings_.residual) add(out, 1, x, 1, count);
    if (settings_.class_token != 0) gpu().add_scaled({out, tokens, count, width(), 1, settings_.class_token});
    if (settings_.feed_forward) feed_forward(block, out);
    if (settings_.aggregate) average(out);
  }

  // Attention before out_proj. x (n, D): the tokens that take part, the patches last -> out (n, D).
  void attend_changed(const float* x, int64_t n, float* out) const {
    const int64_t others = n - patches();
    DeviceArena::Scope scope(c_.arena);
    float* const qkv = take(c_.arena, 3 * n * width());
    float* const values = qkv + 2 * width();
    project_tokens(device_.weights_->blocks.back(), x, n, qkv);
    attend({settings_.key_attention ? qkv + width() : qkv, qkv + width(), values, n, out, nullptr}, prior_);
    if (settings_.mix > 0) mix_attention(n, values, out);
    if (!middle_) return;
    float* const product = take(c_.arena, patches() * width());
    torch::Batch patch_values = matrix(values + others * 3 * width(), patches(), width());
    patch_values.row_stride = 3 * width();
    device_.multiply(matrix(middle_, patches(), patches()), patch_values, product);
    add(out + others * width(), 0.5f, product, 0.5f, patches() * width());
  }

  // out = factor * ((1 - mix) * out + mix * the mean over earlier blocks of their attention to the values).
  void mix_attention(int64_t n, const float* values, float* out) const {
    const int64_t layers = model().shape.layers, skipped = settings_.attend_class ? 0 : width();
    const auto [first, last] = blocks_at(kMixedBlocks, layers);
    const float share = settings_.mix_factor * settings_.mix / static_cast<float>(last - first + 1);
    float factor = settings_.mix_factor * (1 - settings_.mix);
    float *const earlier = take(c_.arena, 3 * n * width()), *const mixed = take(c_.arena, n * width());
    for (int64_t block = first; block <= last; ++block) {
      c_.checkpoint();
      project_tokens(device_.weights_->blocks[block - 1], output_of(block - 1) + skipped, n, earlier);
      attend({earlier, earlier + width(), values, n, mixed, nullptr}, {});
      add(out, factor, mixed, share, n * width());
      factor = 1;
    }
  }

  // The feed-forward of out (N, D). It is added to out if there is a residual connection, else it replaces out.
  void feed_forward(const Block& block, float* out) const {
    const int64_t hidden = block.c_fc.outputs;
    DeviceArena::Scope scope(c_.arena);
    float* const result = take(c_.arena, patches() * width());
    void *const y = take(c_.arena, patches() * width(), device_.dtype()), *const u = take(c_.arena, patches() * hidden, device_.dtype());
    normalise(block.ln_2, out, patches(), y, device_.dtype());
    device_.linear(block.c_fc, y, patches(), u);
    gpu().activate({u, u, device_.is_bfloat16(), device_.exact_gelu(), patches() * hidden});
    linear(block.c_proj, u, patches(), result);
    if (settings_.residual) add(out, 1, result, 1, patches() * width());
    else copy(result, patches() * width(), out);
  }

  // Adds the result of the block for the sum of the middle blocks' tokens.
  void add_fused(float* x) const {
    const int64_t count = grid_.tokens() * width();
    DeviceArena::Scope scope(c_.arena);
    float *const sum = take(c_.arena, count), *const out = take(c_.arena, patches() * width());
    gpu().clear(sum, count);
    const auto [first, last] = blocks_at(kFusedBlocks, model().shape.layers);
    for (int64_t block = first; block <= last; ++block) add(sum, 1, output_of(block), 1, count);
    run(sum, out);
    add(x, 1, out, 1, patches() * width());
  }

  CudaDevice& device_;
  DeviceContext& c_;
  const SimilaritySettings& settings_;
  const Grid& grid_;
  const int64_t images_;
  NeighbourPrior prior_{};
  float* all_tokens_ = nullptr;      // (images, n, D)
  std::span<float* const> outputs_;  // of blocks, (images, n, D); null if the settings do not need them
  // Of the image whose features are computed:
  int64_t first_ = 0;                          // where its tokens begin in all_tokens_ and outputs_
  float* tokens_ = nullptr;                    // (n, D)
  std::span<uint8_t> outlier_;                 // (N)
  float *middle_ = nullptr, *late_ = nullptr;  // (N, N): attention of the middle block, weights of averages; null if a setting is off
};

void CudaDevice::features_of_photo(DeviceContext& c, const SimilaritySettings& settings, const Grid& grid, const void* patches,
                                   HostSpan<float> features, HostSpan<float> mean_attention) {
  DeviceArena::Scope scope(c.arena);
  Arena::Scope host_scope(scratch_);
  Arena::Scope staging_scope(staging_);  // so that pinned memory does not grow with the number of photos
  const auto array = [&](HostSpan<float> to) { return to.empty() ? nullptr : take(c.arena, std::ssize(to)); };
  float *const result = array(features), *const mean = array(mean_attention);
  PhotoFeatures photo(*this, c, settings, grid, 1, patches, mean);
  if (result) {
    photo.features(result);
    fetch(result, std::ssize(features), features.data());
  }
  if (mean) fetch(mean, std::ssize(mean_attention), mean_attention.data());
  wait();
}

void CudaDevice::features_of_windows(DeviceContext& c, const SimilaritySettings& settings, const Windows& windows, const void* patches,
                                     HostSpan<float> features) {
  const int64_t values = patch_row(), embedding = model_->shape.embedding;
  const auto size = static_cast<size_t>(windows.window.patches() * embedding);
  const int64_t columns = std::ssize(windows.columns);
  for (int64_t first = 0; first < windows.count(); first += kMaxPhotos) {
    DeviceArena::Scope scope(c.arena);
    Arena::Scope host_scope(scratch_);
    Arena::Scope staging_scope(staging_);  // so that pinned memory does not grow with the number of windows
    CutWindows cut{.places = {},
                   .patches = patches,
                   .photo_columns = windows.photo.width,
                   .rows = windows.window.height,
                   .columns = windows.window.width,
                   .values = values,
                   .windows = nullptr,
                   .bfloat16 = is_bfloat16()};
    for (int64_t i = first; i < std::min(first + kMaxPhotos, windows.count()); ++i)
      cut.places.add({windows.rows[i / columns], windows.columns[i % columns]});
    const int64_t count = cut.places.count;
    cut.windows = take(c.arena, count * windows.window.patches() * values, dtype());
    gpu_->cut_windows(cut);
    float* const result = take(c.arena, count * static_cast<int64_t>(size));
    PhotoFeatures all(*this, c, settings, windows.window, count, cut.windows, nullptr);
    all.features(result);
    fetch(result, count * static_cast<int64_t>(size), features.data());
    wait();
    features = features.subspan(count * size);
  }
}

void CudaDevice::patch_features(DeviceContext& c, const SimilaritySettings& settings, const Windows& windows,
                                DeviceSpan<const float> patches, HostSpan<float> features, HostSpan<float> mean_attention) {
  const void* const rows = address(patches);
  if (windows.whole) return features_of_photo(c, settings, windows.photo, rows, features, mean_attention);
  if (!mean_attention.empty()) {
    const SimilaritySettings usual{};  // no block's output is kept with them
    features_of_photo(c, usual, windows.photo, rows, {}, mean_attention);
  }
  features_of_windows(c, settings, windows, rows, features);
}

}  // namespace clip_es::cuda
