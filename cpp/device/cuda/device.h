// The stages on a GPU. They have the same steps as the functions with the same names in clip/, cam/ and mask/. They queue kernels of
// ops/cuda and products of LibTorch on one stream. The host does not wait between begin() and wait(), because all copies use pinned memory.
#pragma once
#include <algorithm>
#include <array>
#include <optional>
#include <tuple>
#include <vector>

#include "device/cuda/gpu.h"
#include "device/cuda/memory.h"
#include "device/cuda/weights.h"
#include "device/device.h"
#include "ops/resize_weights.h"

namespace clip_es::cuda {

// Calls launch(Photos<Photo>) for every kMaxPhotos of `count` photos, whose arguments are photo(0), photo(1), …
template <class Photo, class PhotoAt, class Launch>
void for_photos(size_t count, PhotoAt photo, Launch launch) {
  for (size_t first = 0; first < count; first += kMaxPhotos) {
    Photos<Photo> photos;
    for (size_t i = first; i < std::min(count, first + kMaxPhotos); ++i) photos.add(photo(i));
    launch(photos);
  }
}

// How much of several photos is computed at once, so that the memory for intermediate results stays bounded. A single photo, and in GradCAM
// a single row of texts, may need more. Tests pass small limits.
struct BatchLimits {
  int64_t pixels = int64_t{64} << 20;         // of the photos that are preprocessed
  size_t gradient_bytes = size_t{256} << 20;  // GradCAM: of e (rows of texts, N, F)
  size_t result_bytes = size_t{256} << 20;    // of masks, confidence and maps
};

class CudaDevice : public Device {
 public:
  explicit CudaDevice(std::shared_ptr<Gpu>, const BatchLimits& = {});
  ~CudaDevice() override;

  // Throws Error kInvalidArg or kModelFormat if no GPU can compute with this model in this precision.
  static void require_model(const Model&, Precision);

  std::string name() const override { return "cuda:" + std::to_string(gpu_->index()); }
  void load(HostContext&, const ModelSource&, Precision) override;
  void share(std::shared_ptr<const Model>, std::shared_ptr<const DeviceWeights>) override;
  std::shared_ptr<const DeviceWeights> weights() const override { return weights_; }
  std::unique_ptr<Device> clone(Arena&) const override;
  size_t photos_at_once() const override { return kMaxPhotos; }
  LastBlockShape last_block_shape() const override {
    return {model_->image.width, model_->last_hidden, model_->image.heads, is_bfloat16()};
  }
  DeviceArena& arena() override { return arena_; }
  MemorySource memory() const override { return Gpu::memory(gpu_); }
  size_t workspace_bytes() const override { return memory_.capacity() + scratch_.capacity() + staging_.capacity(); }
  uint64_t allocations() const override { return memory_.allocations() + scratch_.allocations() + staging_.allocations(); }
  void begin() override;
  void finish() override;
  void wait() override;
  size_t start_timer() override;
  void stop_timer(size_t timer) noexcept override;
  double elapsed(size_t timer) const override { return timers_[timer].seconds; }

#define CLIP_ES_STAGE override
#include "device/stages.inc"
#undef CLIP_ES_STAGE

 private:
  struct Timer {
    Event start, stop;
    double seconds;  // set by finish()
  };
  // A result that wait() copies from pinned memory to the caller's memory.
  struct Download {
    const std::byte* pinned;
    size_t bytes;
    void* host;
  };
  // What a block does with the mean attention. The first block that has a part in it sets it, and the others add to it.
  enum class Mean { kNone, kSet, kAdd };
  // Consecutive images of a batch that have n tokens each.
  struct EqualImages {
    int64_t first_token, n, images;
    float* means;  // (images, n - 1, n - 1): their mean attention; null if none is computed

    float* mean(int64_t image) const { return means ? means + image * (n - 1) * (n - 1) : nullptr; }
  };

  // The type of products. In bfloat16 the array of patches, which the interface knows as floats, begins with rows of patch_row() bfloat16.
  torch::Dtype dtype() const { return weights_->dtype; }
  int64_t patch_row() const { return weights_->patch_embedding.inputs; }  // elements of a row of patches
  bool is_bfloat16() const { return dtype() == torch::Dtype::kBFloat16; }
  int64_t head_size() const { return model_->image.width / model_->image.heads; }
  float scale() const;        // the factor of attention's scores
  float mean_factor() const;  // of each head's probabilities in the mean attention
  bool exact_gelu() const { return model_->image.activation == Activation::kGelu; }
  void check_float32_products();
  void reuse_events();

  // Copies arrays to the GPU, all of them by one copy. The sources may be changed as soon as the call returns.
  template <class... T>
  std::tuple<T*...> send_all(DeviceArena& arena, std::span<const T>... arrays) const {
    constexpr size_t kAlignment = 64;
    const auto padded = [](size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; };
    const std::span<std::byte> pinned = staging_.take<std::byte>((padded(arrays.size_bytes()) + ...));
    std::byte* const sent = take<std::byte>(arena, static_cast<int64_t>(pinned.size()));
    size_t offset = 0;
    const auto place = [&]<class Value>(std::span<const Value> values) {
      std::ranges::copy(std::as_bytes(values), pinned.begin() + static_cast<ptrdiff_t>(offset));
      auto* const at = reinterpret_cast<Value*>(sent + offset);
      offset += padded(values.size_bytes());
      return at;
    };
    const std::tuple<T*...> addresses{place(arrays)...};
    gpu_->copy_in(std::span<const std::byte>(pinned), sent);
    return addresses;
  }
  template <class T>
  T* send(DeviceArena& arena, std::span<const T> values) const {
    return std::get<0>(send_all(arena, values));
  }

  // Copies consecutive arrays to the host by one copy. Each `host` holds its bytes after wait(). If it is null, the bytes are skipped.
  struct HostArray {
    void* host;
    size_t bytes;
  };
  void fetch_all(const void* from, HostSpan<const HostArray> arrays);
  void fetch(const float* from, int64_t count, float* host) {
    const HostArray array{host, count * sizeof(float)};
    fetch_all(from, {&array, 1});
  }

  // y = x W^T + b for `rows` rows. x and y have the layer's type.
  void linear(const Linear&, const void* x, int64_t rows, void* y) const;
  // out (rows of a, columns of b) = a b, float32 unless `type` is another type.
  void multiply(const torch::Batch& a, const torch::Batch& b, void* out, torch::Dtype type = torch::Dtype::kFloat32) const;
  // A weight or activation in the type of products.
  torch::Batch matrix(const void* data, int64_t rows, int64_t columns) const { return torch::dense(data, dtype(), rows, columns); }

  // A photo in the GPU's memory: tightly packed rows of 1 (grey), 3 (RGB) or 4 (RGBA) bytes per pixel.
  struct SentPhoto {
    const uint8_t* data;
    int64_t channels;
    PhotoSize size;
  };
  std::span<SentPhoto> send_photos(DeviceArena&, HostSpan<const Image>) const;
  // The weights of one axis of a resize, and the kernel's argument that gets their addresses.
  struct AxisTaps {
    ops::ResizeWeights weights;
    ResizeTaps* to;
  };
  // The axes of the photos of a launch, at most two for each photo.
  struct AxisList {
    size_t count = 0;
    std::array<AxisTaps, 2 * kMaxPhotos> axis{};

    void add(const AxisTaps& taps) { axis[count++] = taps; }
    std::span<const AxisTaps> taken() const { return std::span(axis).first(count); }
  };
  void send_taps(DeviceArena&, const AxisList&) const;
  void add_row_pass(DeviceArena&, SentPhoto&, int64_t width, ResizeRows&, AxisList&) const;
  void resize(DeviceArena&, std::span<SentPhoto>, HostSpan<const PhotoSize>) const;
  void resize_to_patches(DeviceArena&, std::span<SentPhoto>, HostSpan<const Grid>, void* patches) const;
  void preprocess_at_once(DeviceArena&, HostSpan<const Image>, int64_t max_side, void* patches) const;
  void embed_tokens(DeviceArena&, HostSpan<const Grid>, const void* patches, float* x) const;
  void run_tower(DeviceContext&, HostSpan<const Grid>, const void* patches, float* x, HostSpan<const DeviceSpan<float>> means,
                 HostSpan<float* const> block_outputs) const;
  std::span<EqualImages> group_images(HostSpan<const Grid>, HostSpan<const DeviceSpan<float>> means) const;
  void run_block(DeviceArena&, const Block&, std::span<const EqualImages>, float* x, const void* pending, void* out, Mean) const;
  void attend_in_bfloat16(std::span<const EqualImages>, const uint16_t* qkv, const Linear& out_proj, uint16_t* out, Mean) const;
  void attend_in_float32(DeviceArena&, std::span<const EqualImages>, const float* qkv, float* out, Mean) const;
  void attend_last_block(HostSpan<const DeviceLastBlock>, HostSpan<const DeviceSpan<float>> mean_attention) const;
  void attend_last_block_in_bfloat16(HostSpan<const DeviceLastBlock>, HostSpan<const DeviceSpan<float>> mean_attention) const;
  void add_patches(HostSpan<const DeviceLastBlock>, const float* x, const void* projected, float* x1, void* h_hat, void* h) const;

  class PhotoFeatures;  // similarity.cpp
  // For the photo's patches. Empty spans are not needed.
  void features_of_photo(DeviceContext&, const SimilaritySettings&, const Grid&, const void* patches, HostSpan<float> features,
                         HostSpan<float> mean_attention);
  void features_of_windows(DeviceContext&, const SimilaritySettings&, const Windows&, const void* patches, HostSpan<float> features);

  // The words of several photos in the GPU's memory, one photo after the other.
  struct SentTexts {
    const double* competing;        // (all texts, embedding)
    const float* rows;              // (all rows, embedding)
    const int64_t* label_of_row;    // (all rows)
    const int64_t* first_row;       // of each photo (labels + 1), from 0
    int64_t text_count, row_count;  // of all photos
  };
  SentTexts send_texts(DeviceArena&, HostSpan<const GradCamOfPhoto>) const;
  // The gradients of all rows of texts with respect to the pooled output, as in ops/cuda/kernels_cam.h.
  struct ScoreGradientsOfRows {
    void* a;           // (rows, width), in the type of products
    float* scaled_dz;  // (rows, width)
  };
  void score_gradients(DeviceArena&, HostSpan<const GradCamOfPhoto>, const SentTexts&, const ScoreGradientsOfRows&);
  void backward(DeviceArena&, const GradCamParts&, const ScoreGradientsOfRows&, float* cams) const;
  void mlp_gradient(DeviceArena&, const GradCamParts&, const ScoreGradientsOfRows&, void* out_gradient, float* delta) const;
  void normalise_cams(HostSpan<const GradCamOfPhoto>, const SentTexts&, float* row_cams) const;
  void make_masks(DeviceArena&, HostSpan<const MaskOfPhoto>);

  std::shared_ptr<Gpu> gpu_;
  const BatchLimits limits_;
  Arena memory_;  // the GPU's memory; only arena_ takes from it
  DeviceArena arena_{memory_};
  mutable Arena scratch_;  // host memory
  mutable Arena staging_;  // pinned host memory, for copies between begin() and finish()
  std::shared_ptr<const Model> model_;
  std::shared_ptr<const Weights> weights_;
  // From begin() to finish().
  std::optional<torch::Backend::Guard> guard_;
  std::optional<Arena::Scope> staging_scope_;
  std::vector<Timer> timers_;
  std::vector<Download> downloads_;
  int timer_error_ = 0;  // the first CUDA error of stop_timer()
  std::vector<Event> free_events_;
};

}  // namespace clip_es::cuda
