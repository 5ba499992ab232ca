#include "device/cuda/device.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "cam/embeddings.h"

namespace clip_es::cuda {

CudaDevice::CudaDevice(std::shared_ptr<Gpu> gpu, const CudaDevice* first)
    : gpu_(std::move(gpu)), arena_(Gpu::memory(gpu_)), staging_(Gpu::pinned_memory(gpu_)) {
  if (!first) return;
  model_ = first->model_;
  weights_ = first->weights_;
}

CudaDevice::~CudaDevice() {
  for (const Stretch& stretch : pending_) events_.insert(events_.end(), {stretch.first, stretch.second});
  for (const Event event : events_) gpu_->destroy_event(event);
}

void CudaDevice::load(HostContext& host, Model& model, Precision precision) {
  constexpr int64_t kTensorCoreHead = 64;  // of the kernel that sums attention in bfloat16
  if (precision == Precision::kInt8)
    throw Error(ErrorCode::kInvalidArg, "precision 'int8' is for processors; a GPU computes in 'bfloat16' or 'float32'");
  model_ = &model;
  if (precision == Precision::kBFloat16 && head_size() != kTensorCoreHead)
    throw Error(ErrorCode::kModelFormat, "heads of " + std::to_string(head_size()) +
                                             " cannot be computed in bfloat16 on a GPU, only heads of 64: use precision 'float32'");
  enter();
  check_float32_products();
  const GradCamWeights gradcam(host, model);
  const bool half = precision == Precision::kBFloat16;
  weights_ = std::make_shared<Weights>(gpu_, model, gradcam, half ? torch::Dtype::kBFloat16 : torch::Dtype::kFloat32);
  finish();
  model.precision = precision;
  // The last block's sizes are asked for later on; the others' weights are the GPU's now.
  model.image_blocks.erase(model.image_blocks.begin(), model.image_blocks.end() - 1);
}

// That float32 products are not rounded to TF32's 11 bits is a setting of the process, which LibTorch's C functions do not show.
void CudaDevice::check_float32_products() {
  constexpr int64_t kSide = 256;
  constexpr float kValue = 1 + 0x1p-14f;  // TF32 would make 1 of it
  constexpr auto kCount = static_cast<size_t>(kSide * kSide);
  std::vector<float> values(kCount, kValue), identity(kCount, 0.0f), product(kCount);
  for (int64_t i = 0; i < kSide; ++i) identity[static_cast<size_t>(i * kSide + i)] = 1;
  Arena::Scope scope(arena_);
  const auto a = arena_.take<float>(kCount), b = arena_.take<float>(kCount), out = arena_.take<float>(kCount);
  gpu_->copy_in(std::span<const float>(values), a.data());
  gpu_->copy_in(std::span<const float>(identity), b.data());
  multiply(torch::dense(a.data(), torch::Dtype::kFloat32, kSide, kSide), torch::dense(b.data(), torch::Dtype::kFloat32, kSide, kSide),
           out.data());
  gpu_->copy_out(out.data(), kSide * kSide, product.data());
  if (product != values)
    throw Error(ErrorCode::kLibTorch, "LibTorch rounds float32 products to TF32 on " + name() +
                                          ": unset TORCH_ALLOW_TF32_CUBLAS_OVERRIDE and NVIDIA_TF32_OVERRIDE");
}

void CudaDevice::enter() {
  gpu_->use();
  guard_.emplace(gpu_->torch(), gpu_->stream());
  travels_.emplace(staging_);
}

void CudaDevice::finish() {
  const auto leave = [&] {
    guard_.reset();
    travels_.reset();
    downloads_.clear();
    for (const Stretch& stretch : pending_) events_.insert(events_.end(), {stretch.first, stretch.second});
    pending_.clear();
  };
  try {
    wait();
    for (const Stretch& stretch : pending_) *stretch.seconds += gpu_->seconds_between(stretch.first, stretch.second);
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

void CudaDevice::start(double& seconds) {
  const auto take = [&] {
    if (events_.empty()) return gpu_->create_event();
    const Event event = events_.back();
    events_.pop_back();
    return event;
  };
  const Event first = take();
  pending_.push_back({first, take(), &seconds});
  gpu_->record(first);
}

void CudaDevice::stop() { gpu_->record(pending_.back().second); }

float CudaDevice::scale() const { return 1.0f / std::sqrt(static_cast<float>(head_size())); }

void CudaDevice::linear(const Linear& layer, const void* x, int64_t rows, void* y) const {
  gpu_->torch().mm(torch::dense(x, layer.dtype, rows, layer.inputs),
                   torch::transposed(torch::dense(layer.weight, layer.dtype, layer.outputs, layer.inputs)),
                   torch::dense(y, layer.dtype, rows, layer.outputs), layer.bias);
}

void CudaDevice::multiply(const torch::Batch& a, const torch::Batch& b, float* out) const {
  gpu_->torch().mm(a, b, torch::dense(out, torch::Dtype::kFloat32, a.rows, b.columns));
}

// Rarely asked for, and little: the host's functions do it on a copy of what they read.
void CudaDevice::embeddings(HostContext& c, const LastBlock& last, float* host_image, float* host_patches) {
  Arena::Scope scope(scratch_);
  LastBlock copy;
  copy.n = last.n;
  copy.pooled = scratch_.take<float>(last.pooled.size());
  copy.z_hat = scratch_.take<float>(last.z_hat.size());
  copy_out(last.pooled.data(), static_cast<int64_t>(last.pooled.size()), copy.pooled.data());
  if (host_patches) copy_out(last.z_hat.data(), static_cast<int64_t>(last.z_hat.size()), copy.z_hat.data());
  wait();
  const auto embedding = scratch_.take<double>(static_cast<size_t>(model_->shape.embedding));
  image_embedding(*model_, copy, embedding);
  std::copy(embedding.begin(), embedding.end(), host_image);
  if (!host_patches) return;
  HostContext host{c.pool, scratch_, c.cancelled};
  patch_embeddings(host, *model_, copy, host_patches);
}

void CudaDevice::copy_out(const float* from, int64_t count, float* host) { fetch(from, count, host); }

}  // namespace clip_es::cuda
