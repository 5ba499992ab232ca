// Helpers that all kernels use: bfloat16, sums over warps and blocks, launches.
// Every .cu file is compiled twice: by nvcc for GPUs, and by the host compiler for test/cpp/emulator, which runs the kernels in the tests
// of a machine without a GPU.
#pragma once
#include <cuda_runtime.h>

#include <cstdint>

#include "ops/cuda/functions.h"

namespace clip_es::cuda {

constexpr int kWarp = 32;
constexpr unsigned kAllLanes = 0xffffffffu;

struct BFloat16 {
  uint16_t bits;
};

__device__ inline float to_float(float x) { return x; }
__device__ inline float to_float(BFloat16 x) { return __uint_as_float(static_cast<uint32_t>(x.bits) << 16); }

// Rounds to nearest, ties to even. x must be finite for bfloat16.
__device__ inline void store(float* to, float x) { *to = x; }
__device__ inline void store(BFloat16* to, float x) {
  const uint32_t bits = __float_as_uint(x);
  to->bits = static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

// Neighbouring elements that are loaded and stored at once: by one instruction up to 16 bytes. The address is a multiple of their size.
template <class T, int kCount>
struct alignas(sizeof(T) * kCount) Elements {
  T at[kCount];
};
template <int kCount, class T>
__device__ Elements<T, kCount> load_elements(const T* from) {
  return *reinterpret_cast<const Elements<T, kCount>*>(from);
}
template <int kCount, class T>
__device__ void store_elements(T* to, const Elements<T, kCount>& elements) {
  *reinterpret_cast<Elements<T, kCount>*>(to) = elements;
}

// The sum over the 32 lanes of a warp. All lanes must call it; every lane gets the sum.
template <class T>
__device__ T warp_sum(T x) {
  for (int offset = kWarp / 2; offset > 0; offset /= 2) x += __shfl_xor_sync(kAllLanes, x, offset);
  return x;
}

// The sum over a block of `Threads` threads. All threads must call it; every thread gets the sum. Two calls in a row need no barrier
// between them.
template <int Threads, class T>
__device__ T block_sum(T x) {
  constexpr int kWarps = Threads / kWarp;
  __shared__ T sums[kWarps];
  x = warp_sum(x);
  __syncthreads();  // all threads have read the sums of the previous call
  if (threadIdx.x % kWarp == 0) sums[threadIdx.x / kWarp] = x;
  __syncthreads();
  T total = sums[0];
  for (int i = 1; i < kWarps; ++i) total += sums[i];
  return total;
}

// The maximum over a block, with the contract of block_sum.
template <int Threads, class T>
__device__ T block_max(T x) {
  constexpr int kWarps = Threads / kWarp;
  __shared__ T largest[kWarps];
  for (int offset = kWarp / 2; offset > 0; offset /= 2) {
    const T other = __shfl_xor_sync(kAllLanes, x, offset);
    x = other > x ? other : x;
  }
  __syncthreads();
  if (threadIdx.x % kWarp == 0) largest[threadIdx.x / kWarp] = x;
  __syncthreads();
  T total = largest[0];
  for (int i = 1; i < kWarps; ++i) total = largest[i] > total ? largest[i] : total;
  return total;
}

// The index of this thread in a one-dimensional grid.
__device__ inline int64_t global_thread() { return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; }

// The shared memory of the block that launch_together asks for, aligned to 16 bytes.
__device__ inline float* dynamic_shared_memory() {
#ifdef __CUDACC__
  extern __shared__ float4 memory[];
  return reinterpret_cast<float*>(memory);
#else
  return static_cast<float*>(emulator::dynamic_shared_memory());
#endif
}

// Queues a kernel. Without blocks, nothing is queued. Returns a cudaError_t.
template <class Arguments>
int launch(const cudaLaunchConfig_t& config, void (*kernel)(Arguments), const Arguments& arguments) {
  static_assert(sizeof(Arguments) <= 4096, "CUDA allows 4 kB of arguments");
  if (config.gridDim.x == 0 || config.gridDim.y == 0 || config.gridDim.z == 0) return cudaSuccess;
  const cudaError_t error = cudaLaunchKernelEx(&config, kernel, arguments);
  if (error) cudaGetLastError();  // clears the error: it is returned here, and the next call must not return it again
  return error;
}

// Queues kernel(arguments) on the stream.
template <class Arguments>
int launch(Stream stream, void (*kernel)(Arguments), dim3 blocks, dim3 threads, const Arguments& arguments) {
  cudaLaunchConfig_t config{};
  config.gridDim = blocks;
  config.blockDim = threads;
  config.stream = static_cast<cudaStream_t>(stream);
  return launch(config, kernel, arguments);
}

// The same, but all blocks run at the same time, so that they can wait for each other: a cooperative launch. The GPU starts none of them
// before there is room for all. More blocks than fit are an error.
template <class Arguments>
int launch_together(Stream stream, void (*kernel)(Arguments), unsigned blocks, unsigned threads, size_t shared_bytes,
                    const Arguments& arguments) {
  cudaLaunchAttribute together{};
  together.id = cudaLaunchAttributeCooperative;
  together.val.cooperative = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = blocks;
  config.blockDim = threads;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = static_cast<cudaStream_t>(stream);
  config.attrs = &together;
  config.numAttrs = 1;
  return launch(config, kernel, arguments);
}

// The number of blocks for `count` items.
inline unsigned blocks_for(int64_t count, int64_t per_block) { return static_cast<unsigned>((count + per_block - 1) / per_block); }

// The largest blocks_of(photo). A grid has as many blocks for each photo (blockIdx.z); those past a photo's own end at once.
template <class Photo, class Blocks>
unsigned most_blocks(const Photos<Photo>& photos, Blocks blocks_of) {
  unsigned most = 0;
  for (int i = 0; i < photos.count; ++i) most = blocks_of(photos.photo[i]) > most ? blocks_of(photos.photo[i]) : most;
  return most;
}
inline unsigned most_rows(const GradCamParts& parts) {
  return most_blocks(parts, [](const GradCamPart& part) { return static_cast<unsigned>(part.rows); });
}
template <class Photo>
unsigned depth_of(const Photos<Photo>& photos) {
  return static_cast<unsigned>(photos.count);
}

}  // namespace clip_es::cuda
