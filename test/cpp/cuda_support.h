// The GPU that the CUDA tests run on: the one that --device names, or the host, which runs the same kernels (see emulator/).
#pragma once
#include <memory>
#include <vector>

#include "device/cuda/device.h"

std::shared_ptr<clip_es::cuda::Gpu> test_gpu();
bool gpu_is_emulated();

// A copy in the GPU's memory, at its own address, so that a sanitizer sees the first step past its end.
template <class T>
class GpuArray {
 public:
  explicit GpuArray(std::span<const T> host) : GpuArray(static_cast<int64_t>(host.size())) { test_gpu()->copy_in(host, data()); }
  explicit GpuArray(const std::vector<T>& host) : GpuArray(std::span<const T>(host)) {}
  explicit GpuArray(int64_t count)
      : count_(count), memory_(clip_es::cuda::Gpu::memory(test_gpu()).allocate(static_cast<size_t>(count) * sizeof(T))) {}

  T* data() const { return reinterpret_cast<T*>(memory_.get()); }
  std::vector<T> host() const {
    std::vector<T> values(static_cast<size_t>(count_));
    test_gpu()->copy_out(data(), count_, values.data());
    return values;
  }

 private:
  int64_t count_;
  std::shared_ptr<std::byte> memory_;
};

// Runs `body` with a block's threads in each of three orders (once on a real GPU) and requires that `result` is the same, bit for bit.
void in_every_order(const std::function<void()>& body, const std::function<std::vector<float>()>& result);
