#include "device/cuda/device.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "cam/embeddings.h"
#include "clip/image_tower.h"

namespace clip_es::cuda {

CudaDevice::CudaDevice(std::shared_ptr<Gpu> gpu, const BatchLimits& limits)
    : gpu_(std::move(gpu)), limits_(limits), memory_(Gpu::memory(gpu_)), staging_(Gpu::pinned_memory(gpu_)) {}

CudaDevice::~CudaDevice() {
  reuse_events();
  for (const Event event : free_events_) gpu_->destroy_event(event);
}

void CudaDevice::require_model(const Model& model, Precision precision) {
  constexpr int64_t kTensorCoreHead = 64;  // the only head size of the kernel that averages attention in bfloat16
  if (precision == Precision::kInt8)
    throw Error(ErrorCode::kInvalidArg, "precision 'int8' works only on the CPU; on a GPU use 'bfloat16' or 'float32'");
  const int64_t head = model.image.width / model.image.heads;
  const std::string size = "the model's attention heads have " + std::to_string(head) + " channels, but ";
  if (head > kLargestHead)
    throw Error(ErrorCode::kModelFormat,
                size + "a GPU computes at most " + std::to_string(kLargestHead) + ": load the model with device 'cpu'");
  if (precision == Precision::kBFloat16 && head != kTensorCoreHead)
    throw Error(ErrorCode::kModelFormat, size + "bfloat16 on a GPU needs 64: use precision 'float32'");
  if (precision == Precision::kBFloat16 && model.last_hidden % 2 != 0)  // two values share a float of LastBlock
    throw Error(ErrorCode::kModelFormat, "the model's last MLP has " + std::to_string(model.last_hidden) +
                                             " units, but bfloat16 on a GPU needs an even number: use precision 'float32'");
}

void CudaDevice::load(HostContext& host, const ModelSource& source, Precision precision) {
  require_model(*source.model(), precision);
  model_ = source.model();
  begin();
  check_float32_products();
  weights_ = std::make_shared<const Weights>(gpu_, host, source,
                                             precision == Precision::kBFloat16 ? torch::Dtype::kBFloat16 : torch::Dtype::kFloat32);
  finish();
}

void CudaDevice::share(std::shared_ptr<const Model> model, std::shared_ptr<const DeviceWeights> weights) {
  model_ = std::move(model);
  weights_ = std::static_pointer_cast<const Weights>(std::move(weights));
}

std::unique_ptr<Device> CudaDevice::clone(Arena&) const {
  auto other = std::make_unique<CudaDevice>(gpu_->clone(), limits_);
  other->share(model_, weights_);
  return other;
}

// A setting of the process decides whether LibTorch rounds float32 products to TF32's 11 bits. No C function returns this setting, so a
// product is tried.
void CudaDevice::check_float32_products() {
  constexpr int64_t kSide = 256;
  constexpr float kValue = 1 + 0x1p-14f;  // TF32 rounds it to 1
  constexpr auto kCount = static_cast<size_t>(kSide * kSide);
  std::vector<float> values(kCount, kValue), identity(kCount, 0.0f), product(kCount);
  for (int64_t i = 0; i < kSide; ++i) identity[i * kSide + i] = 1;
  DeviceArena::Scope scope(arena_);
  float *const a = take(arena_, kCount), *const b = take(arena_, kCount), *const out = take(arena_, kCount);
  gpu_->copy_in(std::span<const float>(values), a);
  gpu_->copy_in(std::span<const float>(identity), b);
  multiply(torch::dense(a, torch::Dtype::kFloat32, kSide, kSide), torch::dense(b, torch::Dtype::kFloat32, kSide, kSide), out);
  gpu_->copy_out(out, kSide * kSide, product.data());
  if (product != values)
    throw Error(ErrorCode::kLibTorch, "LibTorch rounds float32 products to TF32 on " + name() +
                                          ", which is too coarse: unset TORCH_ALLOW_TF32_CUBLAS_OVERRIDE and NVIDIA_TF32_OVERRIDE");
}

void CudaDevice::begin() {
  gpu_->use();
  guard_.emplace(gpu_->torch(), gpu_->stream());
  staging_scope_.emplace(staging_);
  reuse_events();
  timer_error_ = 0;
}

void CudaDevice::finish() {
  const auto leave = [&] {
    guard_.reset();
    staging_scope_.reset();
    downloads_.clear();
  };
  try {
    wait();
    gpu_->check(timer_error_, "recording an event");
    for (Timer& timer : timers_) timer.seconds = gpu_->seconds_between(timer.start, timer.stop);
  } catch (...) {
    leave();
    throw;
  }
  leave();
}

void CudaDevice::wait() {
  gpu_->wait();
  for (const Download& download : downloads_) std::memcpy(download.host, download.pinned, download.bytes);
  downloads_.clear();
}

void CudaDevice::fetch_all(const void* from, HostSpan<const HostArray> arrays) {
  size_t bytes = 0;
  for (const HostArray& array : arrays) bytes += array.bytes;
  const std::span<std::byte> pinned = staging_.take<std::byte>(bytes);
  gpu_->queue_copy_out(from, bytes, pinned.data());
  const std::byte* next = pinned.data();
  for (const HostArray& array : arrays) {
    if (array.bytes > 0 && array.host) downloads_.push_back({next, array.bytes, array.host});
    next += array.bytes;
  }
}

size_t CudaDevice::start_timer() {
  while (free_events_.size() < 2) free_events_.push_back(gpu_->create_event());  // before one is taken: this may throw
  const auto take_event = [&] {
    const Event event = free_events_.back();
    free_events_.pop_back();
    return event;
  };
  timers_.push_back({take_event(), take_event(), 0});
  gpu_->record(timers_.back().start);
  return timers_.size() - 1;
}

void CudaDevice::stop_timer(size_t timer) noexcept {
  const int error = gpu_->try_record(timers_[timer].stop);
  if (!timer_error_) timer_error_ = error;
}

void CudaDevice::reuse_events() {
  for (const Timer& timer : timers_) free_events_.insert(free_events_.end(), {timer.start, timer.stop});
  timers_.clear();
}

float CudaDevice::scale() const { return 1.0f / std::sqrt(static_cast<float>(head_size())); }

float CudaDevice::mean_factor() const { return affinity_weight(*model_) / static_cast<float>(model_->image.heads); }

void CudaDevice::linear(const Linear& layer, const void* x, int64_t rows, void* y) const {
  gpu_->torch().mm(torch::dense(x, layer.dtype, rows, layer.inputs),
                   torch::transposed(torch::dense(layer.weight, layer.dtype, layer.outputs, layer.inputs)),
                   torch::dense(y, layer.dtype, rows, layer.outputs), layer.bias);
}

void CudaDevice::multiply(const torch::Batch& a, const torch::Batch& b, void* out, torch::Dtype type) const {
  gpu_->torch().mm(a, b, torch::dense(out, type, a.rows, b.columns));
}

// The host computes the embeddings from a copy, because they are small and rarely needed.
void CudaDevice::embeddings(DeviceContext& c, const DeviceLastBlock& last, HostSpan<float> image, HostSpan<float> patches) {
  Arena::Scope scope(scratch_);
  HostLastBlock copy{.tokens = last.tokens};
  copy.pooled = scratch_.take<float>(last.pooled.size());
  copy.z_hat = scratch_.take<float>(last.z_hat.size());
  copy_to_host(last.pooled, copy.pooled);
  if (!patches.empty()) copy_to_host(last.z_hat, copy.z_hat);
  wait();
  const auto embedding = scratch_.take<double>(model_->shape.embedding);
  image_embedding(*model_, copy, embedding);
  std::ranges::copy(embedding, image.begin());
  if (patches.empty()) return;
  HostContext host{c.pool, scratch_, c.cancelled};
  patch_embeddings(host, *model_, copy, patches);
}

void CudaDevice::copy_to_host(DeviceSpan<const float> from, HostSpan<float> to) { fetch(address(from), from.size(), to.data()); }

}  // namespace clip_es::cuda
