// The stages on a GPU. They have the same steps as the functions with the same names in clip/, cam/ and mask/. They queue kernels of
// ops/cuda and products of LibTorch on one stream. The host does not wait between begin() and wait(), because all copies use pinned memory.
#pragma once
#include <algorithm>
#include <optional>
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
    int64_t first_token, n;
    HostSpan<const DeviceSpan<float>> means;  // mean attention of each image
    int64_t images() const { return means.size(); }
  };

  int64_t head_size() const { return model_->image.width / model_->image.heads; }
  float scale() const;  // the factor of attention's scores
  bool exact_gelu() const { return model_->image.activation == Activation::kGelu; }
  void check_float32_products();
  void reuse_events();

  // Copies the values to the GPU. The source may be changed as soon as the call returns.
  template <class T>
  T* send(DeviceArena& arena, std::span<const T> values) const {
    const std::span<T> pinned = staging_.take<T>(values.size());
    T* const sent = take<T>(arena, values.size());
    std::ranges::copy(values, pinned.begin());
    gpu_->copy_in(std::span<const T>(pinned), sent);
    return sent;
  }

  // `host` holds the values after wait().
  template <class T>
  void fetch(const T* from, int64_t count, T* host) {
    const std::span<T> pinned = staging_.take<T>(count);
    gpu_->queue_copy_out(from, pinned.size_bytes(), pinned.data());
    downloads_.push_back({reinterpret_cast<const std::byte*>(pinned.data()), pinned.size_bytes(), host});
  }

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
  const uint8_t* resize(DeviceArena&, const uint8_t* rgb, int64_t channels, PhotoSize from, PhotoSize to) const;
  void run_block(DeviceArena&, const Block&, std::span<const EqualImages>, float* x, const void* pending, void* out, bool add_means) const;
  void attend_in_bfloat16(const EqualImages&, const void* qkv, const Linear& out_proj, void* out, bool add_means) const;
  // Attention of one image in float32: out (n, width), log_sum_exp (heads, n) or null. If mean (n - 1, n - 1) is not null, adds
  // affinity_weight() times the attention to it.
  void attend(DeviceArena&, const float* qkv, int64_t n, float* out, float* log_sum_exp, float* mean) const;

  void score_gradients(DeviceArena&, const DeviceLastBlock&, const LabelTexts&, float* logits, float* probabilities, float* a,
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
