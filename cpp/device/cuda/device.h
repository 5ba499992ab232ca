// The stages on a GPU. They have the same steps as the functions with the same names in clip/, cam/ and mask/. They queue kernels of
// ops/cuda and products of LibTorch on one stream. The host does not wait between begin() and wait(), because all copies use pinned memory.
#pragma once
#include <algorithm>
#include <initializer_list>
#include <optional>
#include <tuple>
#include <vector>

#include "device/cuda/gpu.h"
#include "device/cuda/memory.h"
#include "device/cuda/weights.h"
#include "device/device.h"

namespace clip_es::cuda {

class CudaDevice : public Device {
 public:
  explicit CudaDevice(std::shared_ptr<Gpu>);
  ~CudaDevice() override;

  std::string name() const override { return "cuda:" + std::to_string(gpu_->index()); }
  void load(HostContext&, const ModelSource&, Precision) override;
  void share(std::shared_ptr<const Model>, std::shared_ptr<const DeviceWeights>) override;
  std::shared_ptr<const DeviceWeights> weights() const override { return weights_; }
  std::unique_ptr<Device> clone(Arena&) const override;
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
  // Consecutive images of a batch that have n tokens each.
  struct EqualImages {
    int64_t first_token, n, images;
    float* means;  // (images, n - 1, n - 1): their mean attention
  };

  int64_t head_size() const { return model_->image.width / model_->image.heads; }
  float scale() const;  // the factor of attention's scores
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

  // Copies consecutive arrays to the host by one copy. Each `host` holds its bytes after wait().
  struct HostArray {
    void* host;
    size_t bytes;
  };
  void fetch_all(const void* from, std::initializer_list<HostArray> arrays);
  void fetch(const float* from, int64_t count, float* host) { fetch_all(from, {{host, count * sizeof(float)}}); }

  // Sets arrays to zero; neighbours in memory by one call.
  void clear(HostSpan<const DeviceSpan<float>> arrays) const;
  // y = x W^T + b for `rows` rows. x and y have the layer's type.
  void linear(const Linear&, const void* x, int64_t rows, void* y) const;
  // out (rows of a, columns of b) = a b, float32.
  void multiply(const torch::Batch& a, const torch::Batch& b, float* out) const;

  // A photo in the GPU's memory: tightly packed rows of 1 (grey), 3 (RGB) or 4 (RGBA) bytes per pixel.
  struct SentPhoto {
    const uint8_t* data;
    int64_t channels;
  };
  SentPhoto send_photo(DeviceArena&, const Image&) const;
  void embed_patches(DeviceArena&, HostSpan<const Grid>, const float* patches, float* x) const;
  std::span<EqualImages> group_images(HostSpan<const Grid>, HostSpan<const DeviceSpan<float>> means) const;
  const uint8_t* resize(DeviceArena&, const uint8_t* rgb, int64_t channels, PhotoSize from, PhotoSize to) const;
  void run_block(DeviceArena&, const Block&, std::span<const EqualImages>, float* x, const void* pending, void* out, bool add_means) const;
  void attend_in_bfloat16(const EqualImages&, const void* qkv, const Linear& out_proj, void* out, bool add_means) const;
  // Attention of one image in float32: out (n, width), log_sum_exp (heads, n) or null. If mean (n - 1, n - 1) is not null, adds
  // affinity_weight() times the attention to it.
  void attend(DeviceArena&, const float* qkv, int64_t n, float* out, float* log_sum_exp, float* mean) const;

  // The words in the GPU's memory.
  struct SentTexts {
    const double* competing;  // (count, embedding)
    const float* rows;        // (row_count, embedding)
    const int64_t *label_of_row, *first_row;
    int64_t count, row_count;
  };
  SentTexts send_texts(DeviceArena&, const LabelTexts&) const;
  void score_gradients(DeviceArena&, const DeviceLastBlock&, const SentTexts&, float* logits, float* probabilities, float* a,
                       float* scaled_dz) const;
  void backward(DeviceArena&, const DeviceLastBlock&, int64_t rows, const float* a, const float* scaled_dz, float* cams) const;
  void mlp_gradient(DeviceArena&, const DeviceLastBlock&, int64_t rows, const float* a, const float* scaled_dz, float* out_gradient) const;
  void attention_gradient_sums(DeviceArena&, const DeviceLastBlock&, int64_t rows, const float* out_gradient, float* qkv_gradient) const;

  std::shared_ptr<Gpu> gpu_;
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
