// Access to the addresses of this device's memory, for arguments of kernels and products. The host must not read them.
#pragma once
#include "core/memory.h"
#include "torch/backend.h"

namespace clip_es::cuda {

template <class T>
T* address(const DeviceSpan<T>& span) {
  return DeviceAccess::address(span);
}

// Takes scratch memory and gives its address.
template <class T = float>
T* take(DeviceArena& arena, int64_t count) {
  return address(arena.take<T>(count));
}
inline void* take(DeviceArena& arena, int64_t count, torch::Dtype dtype) {
  if (dtype == torch::Dtype::kFloat32) return take<float>(arena, count);
  return take<uint16_t>(arena, count);
}

inline size_t bytes_of(torch::Dtype dtype) { return dtype == torch::Dtype::kFloat32 ? sizeof(float) : sizeof(uint16_t); }

// The address of the element `count` elements behind *data.
inline void* advance(void* data, int64_t count, torch::Dtype dtype) {
  return static_cast<std::byte*>(data) + count * static_cast<int64_t>(bytes_of(dtype));
}
inline const void* advance(const void* data, int64_t count, torch::Dtype dtype) { return advance(const_cast<void*>(data), count, dtype); }

}  // namespace clip_es::cuda
