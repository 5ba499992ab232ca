// The GPU that the CUDA tests run on: the one that --device names, else the emulator on the host (see emulator/).
#pragma once
#include <memory>
#include <vector>

#include "device/cuda/device.h"

std::shared_ptr<clip_es::cuda::Gpu> test_gpu();
bool gpu_is_emulated();

// An array in device memory. Each has an allocation of its own, so that a sanitizer detects an access past its end.
template <class T>
class GpuArray {
 public:
  explicit GpuArray(std::span<const T> host) : GpuArray(static_cast<int64_t>(host.size())) { test_gpu()->copy_in(host, data()); }
  explicit GpuArray(const std::vector<T>& host) : GpuArray(std::span<const T>(host)) {}
  explicit GpuArray(int64_t count)
      : count_(count), memory_(clip_es::cuda::Gpu::memory(test_gpu()).allocate(static_cast<size_t>(count) * sizeof(T))) {}

  T* data() const { return reinterpret_cast<T*>(memory_.get()); }
  clip_es::DeviceSpan<T> span() const { return clip_es::DeviceAccess::span(data(), static_cast<size_t>(count_)); }
  std::vector<T> host() const {
    std::vector<T> values(static_cast<size_t>(count_));
    test_gpu()->copy_out(data(), count_, values.data());
    return values;
  }

 private:
  int64_t count_;
  std::shared_ptr<std::byte> memory_;
};

// The nearest bfloat16 of each value, and its value.
std::vector<uint16_t> to_bfloat16(const std::vector<float>&);
std::vector<float> from_bfloat16(const std::vector<uint16_t>&);
// The largest difference of `got` from `want` beyond half a step of bfloat16, which rounding needs, divided by the largest value of `want`.
double error_beyond_rounding(const std::vector<uint16_t>& got, const std::vector<double>& want);

// Runs `body` in the emulator three times, with another order of blocks and threads each time, and checks that `result` has the same bits.
// On a real GPU it runs once.
void in_every_order(const std::function<void()>& body, const std::function<std::vector<float>()>& result);
