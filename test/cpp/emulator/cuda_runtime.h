// The part of CUDA that the kernels use, on the host. It replaces CUDA's own header when a .cu file is compiled for the tests. The threads
// of a block are fibres on the calling thread (threads.cpp), so barriers, warp shuffles and shared memory work, and sanitizers see every
// access. Errors that a GPU hides end the test here: access outside an allocation (with AddressSanitizer), and barriers that some threads
// never reach.
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <type_traits>

#include "order.h"

#define __global__
#define __device__
#define __host__
#define __shared__ static  // only one block runs at a time

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned width = 1, unsigned height = 1, unsigned depth = 1) : x(width), y(height), z(depth) {}
};
struct uint4 {
  unsigned x, y, z, w;
};

struct uint3 {
  unsigned x, y, z;
};
extern uint3 threadIdx, blockIdx;  // of the running fibre
extern dim3 blockDim, gridDim;

namespace emulator {

// Waits for all threads of the block.
void barrier();
// Every lane of the warp passes `size` bytes, at most 64, and gets a view of the bytes of all 32 lanes, one after the other. All lanes must
// call it. The view is valid until the lane's second next call.
const void* exchange(const void* mine, size_t size);
template <class T>
const T* gather(const T& mine) {
  static_assert(std::is_trivially_copyable_v<T>);
  return static_cast<const T*>(exchange(&mine, sizeof mine));
}

// Runs `kernel` for every thread of the grid, and returns when all are done.
void run(dim3 grid, dim3 block, const std::function<void()>& kernel);

}  // namespace emulator

inline void __syncthreads() { emulator::barrier(); }
template <class T>
T __shfl_xor_sync(unsigned, T value, int lane_mask) {
  const unsigned lane = threadIdx.x % 32;  // blocks are multiples of 32 wide
  return emulator::gather(value)[lane ^ static_cast<unsigned>(lane_mask)];
}
inline float __uint_as_float(unsigned bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
inline unsigned __float_as_uint(float value) {
  unsigned bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}
inline int atomicAdd(int* at, int value) {
  const int before = *at;
  *at += value;
  return before;
}
inline int atomicMin(int* at, int value) {
  const int before = *at;
  if (value < before) *at = value;
  return before;
}
inline int atomicMax(int* at, int value) {
  const int before = *at;
  if (value > before) *at = value;
  return before;
}
using std::isfinite;

enum cudaError_t { cudaSuccess = 0, cudaErrorInvalidValue = 1, cudaErrorMemoryAllocation = 2 };
enum cudaMemcpyKind { cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice };
using cudaStream_t = struct EmulatedStream*;
using cudaEvent_t = struct EmulatedEvent*;
constexpr unsigned cudaStreamNonBlocking = 1;

struct cudaDeviceProp {
  char name[256];
  int major, minor;
  size_t totalGlobalMem;
};
struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  cudaStream_t stream;
};

const char* cudaGetErrorString(cudaError_t);
cudaError_t cudaGetLastError();
cudaError_t cudaGetDeviceCount(int*);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp*, int);
cudaError_t cudaSetDevice(int);
cudaError_t cudaMalloc(void**, size_t);
cudaError_t cudaFree(void*);
// Copies from and to pinned memory take effect when the stream is synchronised, the latest moment that a GPU may choose. So a download that
// is read too early holds NaN, and a change of pinned memory before its upload is done ends the test.
constexpr unsigned cudaHostAllocPortable = 1;
cudaError_t cudaHostAlloc(void**, size_t, unsigned);
cudaError_t cudaFreeHost(void*);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t*, unsigned);
cudaError_t cudaStreamDestroy(cudaStream_t);
cudaError_t cudaStreamSynchronize(cudaStream_t);
cudaError_t cudaEventCreate(cudaEvent_t*);
cudaError_t cudaEventDestroy(cudaEvent_t);
cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t);
cudaError_t cudaEventElapsedTime(float*, cudaEvent_t, cudaEvent_t);
cudaError_t cudaMemsetAsync(void*, int, size_t, cudaStream_t);
cudaError_t cudaMemcpyAsync(void*, const void*, size_t, cudaMemcpyKind, cudaStream_t);

template <class Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Arguments), const Arguments& arguments) {
  emulator::run(config->gridDim, config->blockDim, [&] { kernel(arguments); });
  return cudaSuccess;
}
