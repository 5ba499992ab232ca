// Access to the addresses of this device's memory, for arguments of kernels and products. The host must not read them.
#pragma once
#include "core/memory.h"

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

}  // namespace clip_es::cuda
