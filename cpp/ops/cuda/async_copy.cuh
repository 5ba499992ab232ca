// Copies from device memory to shared memory that run while the thread continues (PTX: cp.async, since sm_80).
#pragma once
#include "ops/cuda/common.cuh"

namespace clip_es::cuda {

// Starts to copy 16 bytes, or to set them to 0 if `exists` is false. Both addresses must be multiples of 16, and `device` must be within an
// array in both cases. The bytes are there for this thread after wait_for_copies, and for other threads after a barrier that follows it.
__device__ inline void start_copy(void* shared, const void* device, bool exists) {
#ifdef __CUDACC__
  const auto to = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(device), "r"(exists ? 16 : 0) : "memory");
#else
  emulator::start_copy(shared, device, exists);
#endif
}

// Waits for all copies that this thread has started.
__device__ inline void wait_for_copies() {
#ifdef __CUDACC__
  asm volatile("cp.async.wait_all;" ::: "memory");
#else
  emulator::finish_copies();
#endif
}

}  // namespace clip_es::cuda
