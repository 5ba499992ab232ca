// The stages on a GPU: the same steps as the free functions of the same names, as kernels of ops/cuda and products of LibTorch queued on
// one stream. Nothing waits between enter() and wait(): what goes to the GPU or comes back passes through pinned memory.
#pragma once
#include <algorithm>
#include <optional>
#include <vector>

#include "device/cuda/gpu.h"
#include "device/cuda/weights.h"
#include "device/device.h"

namespace clip_es::cuda {

class CudaDevice : public Device {
 public:
  explicit CudaDevice(std::shared_ptr<Gpu>, const CudaDevice* first = nullptr);  // first: whose weights to use
  ~CudaDevice() override;

  std::string name() const override { return "cuda:" + std::to_string(gpu_->index()); }
  Arena& arena() override { return arena_; }
  MemorySource memory() const override { return Gpu::memory(gpu_); }
  size_t bytes() const override { return weights_ ? weights_->bytes() : 0; }
  // The host's copy is made into what the GPU multiplies in while it is sent there.
  torch::Precision reads(torch::Precision) const override { return torch::Precision::kFloat32; }
  void load(HostContext& host, Model&, torch::Precision) override;
  std::unique_ptr<Device> beside(Arena&) const override { return std::make_unique<CudaDevice>(gpu_->clone(), this); }
  void enter() override;
  void finish() override;
  void wait() override;
  void start(double& seconds) override;
  void stop() override;

  void preprocess(HostContext&, const Image&, int64_t max_side, float* patches) override;
  void encode_images(HostContext&, std::span<const Grid>, const float* patches, float* tokens,
                     std::span<float* const> mean_attention) override;
  void run_last_block(HostContext&, const float* tokens, std::span<LastBlock>, std::span<float* const> mean_attention) override;
  void softmax_gradcam(HostContext&, const LastBlock&, const LabelTexts&, float* logits, float* probabilities, float* cams) override;
  void box_mask(HostContext&, const float* cams, int64_t labels, const Grid&, const BoxSettings&, uint8_t* boxes) override;
  void refine_cams(HostContext&, const float* attention, int64_t patches, const float* cams, const uint8_t* boxes, int64_t labels,
                   const AffinitySettings&, float* refined) override;
  void make_pseudo_mask(HostContext&, float* maps, const Grid&, std::span<const uint8_t> value, int64_t width, int64_t height,
                        const MaskSettings&, const MaskOutputs& host) override;
  void score_labels(HostContext&, float* maps, const Grid&, int64_t labels, int64_t width, int64_t height, const MaskSettings&,
                    float* host_scores) override;
  void embeddings(HostContext&, const LastBlock&, float* host_image, float* host_patches) override;
  void copy_out(const float* from, int64_t count, float* host) override;

 private:
  // A stretch of the queue whose time is wanted.
  struct Stretch {
    Event first, second;
    double* seconds;
  };
  // A result on its way to the host.
  struct Download {
    const std::byte* pinned;
    size_t bytes;
    void* host;
  };
  // Images of a batch that follow one another and have n tokens each.
  struct Alike {
    int64_t first_token, n;
    std::span<float* const> means;  // of attention, one of each image
    int64_t images() const { return static_cast<int64_t>(means.size()); }
  };

  int64_t head_size() const { return model_->image.width / model_->image.heads; }
  float scale() const;  // of attention's scores
  bool exact_gelu() const { return model_->image.activation == Activation::kGelu; }
  void check_float32_products();

  // The values in the GPU's memory; where they come from may be changed at once.
  template <class T>
  T* send(Arena& arena, std::span<const T> values) const {
    const std::span<T> pinned = staging_.take<T>(values.size()), sent = arena.take<T>(values.size());
    std::copy(values.begin(), values.end(), pinned.begin());
    gpu_->copy_in(std::span<const T>(pinned), sent.data());
    return sent.data();
  }

  // `host` holds the values after wait().
  template <class T>
  void fetch(const T* from, int64_t count, T* host) {
    const std::span<T> pinned = staging_.take<T>(static_cast<size_t>(count));
    gpu_->queue_copy_out(from, pinned.size_bytes(), pinned.data());
    downloads_.push_back({reinterpret_cast<const std::byte*>(pinned.data()), pinned.size_bytes(), host});
  }

  // y = x W^T + b of `rows` rows, in the layer's type.
  void linear(const Linear&, const void* x, int64_t rows, void* y) const;
  // out (rows, b's columns) = a b, float32.
  void multiply(const torch::Batch& a, const torch::Batch& b, float* out) const;

  const uint8_t* resize(Arena&, const uint8_t* rgb, int64_t channels, PhotoSize from, PhotoSize to) const;
  void run_block(Arena&, const Block&, std::span<const Alike>, float* x, const void* pending, void* out, bool add_means) const;
  void attend_in_bfloat16(const Alike&, const void* qkv, const Linear& out_proj, void* out, bool add_means) const;
  // Attention of one image in float32: out (n, width), log_sum_exp (heads, n) or null; mean (n - 1, n - 1), or null, += the block's share.
  void attend(Arena&, const float* qkv, int64_t n, float* out, float* log_sum_exp, float* mean) const;

  void score_gradients(Arena&, const LastBlock&, const LabelTexts&, float* logits, float* probabilities, float* a, float* scaled_dz) const;
  void explain(Arena&, const LastBlock&, int64_t rows, const float* a, const float* scaled_dz, float* cams) const;
  void mlp_gradient(Arena&, const LastBlock&, int64_t rows, const float* a, const float* scaled_dz, float* out_gradient) const;
  void attention_gradient_sums(Arena&, const LastBlock&, int64_t rows, const float* out_gradient, float* qkv_gradient) const;

  std::shared_ptr<Gpu> gpu_;
  Arena arena_;
  mutable Arena scratch_;  // of the machine's memory
  mutable Arena staging_;  // pinned: what travels, from enter() to finish()
  const Model* model_ = nullptr;
  std::shared_ptr<const Weights> weights_;
  // From enter() to finish().
  std::optional<torch::Backend::Guard> guard_;
  std::optional<Arena::Scope> travels_;
  std::vector<Stretch> pending_;
  std::vector<Download> downloads_;
  std::vector<Event> events_;  // free ones
};

}  // namespace clip_es::cuda
