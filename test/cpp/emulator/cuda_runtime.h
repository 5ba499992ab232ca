// The part of CUDA that the kernels use, on the host. It replaces CUDA's own header when a .cu file is compiled for the tests. The threads
// of a block are fibres on the calling thread (threads.cpp), so barriers, warp shuffles and shared memory work, and sanitizers see every
// access. Errors that a GPU hides end the program here: access outside an allocation (memory.h), missing waits (queue.h), misaligned
// 16-byte vectors, and barriers that some threads never reach. test/cpp/cuda_emulator_test.cpp plants each of these errors.
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <type_traits>

#define __global__
#define __device__
#define __host__
#define __launch_bounds__(...)
#define __grid_constant__
// Only one block runs at a time, also in a cooperative launch: a block gives way where all its threads wait for other blocks. All shared
// memory is in one section of the program. It is filled with NaN before each block, and saved while a block that gave way waits.
#ifdef __linux__
#define __shared__ static __attribute__((section("emulated_shared")))
#else
#define __shared__ static
#endif

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned width = 1, unsigned height = 1, unsigned depth = 1) : x(width), y(height), z(depth) {}
};
struct uint3 {
  unsigned x, y, z;
};
extern uint3 threadIdx, blockIdx;  // of the running fibre
extern dim3 blockDim, gridDim;

namespace emulator {

// Waits for all threads of the block.
void barrier();
// Waits for all threads of all blocks. In a launch that is not cooperative, it ends the program.
void grid_barrier();
// The shared memory of the block whose size the launch sets.
void* dynamic_shared_memory();
// Every lane of the warp passes `size` bytes, at most 64, and gets a view of the bytes of all 32 lanes, one after the other. All lanes must
// call it. The view is valid until the lane's second next call.
const void* exchange(const void* mine, size_t size);
template <class T>
const T* gather(const T& mine) {
  static_assert(std::is_trivially_copyable_v<T>);
  return static_cast<const T*>(exchange(&mine, sizeof mine));
}

// Ends the program if the address is not a multiple of 16, as the GPU does.
void require_aligned_to_16(const void* address);

// A copy of 16 bytes into shared memory that the thread does not wait for. It happens in finish_copies, so that a missing wait shows in the
// results. A thread that ends without waiting ends the program.
void start_copy(void* to, const void* from, bool exists);
void finish_copies();

// Every copy of a vector through a pointer or reference is a 16-byte load and store.
template <class T>
struct alignas(16) Vector4 {
  T x, y, z, w;
  Vector4() = default;
  Vector4(T first, T second, T third, T fourth) : x(first), y(second), z(third), w(fourth) {}
  Vector4(const Vector4& other) { *this = other; }
  Vector4& operator=(const Vector4& other) {
    require_aligned_to_16(this);
    require_aligned_to_16(&other);
    x = other.x, y = other.y, z = other.z, w = other.w;
    return *this;
  }
};

}  // namespace emulator

using float4 = emulator::Vector4<float>;
using int4 = emulator::Vector4<int>;
using uint4 = emulator::Vector4<unsigned>;

inline void __syncthreads() { emulator::barrier(); }
inline void __syncwarp() { emulator::exchange(nullptr, 0); }
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

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorNotReady = 600,
  cudaErrorCooperativeLaunchTooLarge = 720
};
enum cudaMemcpyKind { cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice };
using cudaStream_t = struct EmulatedStream*;
using cudaEvent_t = struct EmulatedEvent*;
constexpr unsigned cudaStreamNonBlocking = 1;

struct cudaDeviceProp {
  char name[256];
  int major, minor;
  size_t totalGlobalMem;
};
enum cudaDeviceAttr { cudaDevAttrMultiProcessorCount = 16, cudaDevAttrMaxSharedMemoryPerBlockOptin = 97 };
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
enum cudaLaunchAttributeID { cudaLaunchAttributeCooperative = 2 };
struct cudaLaunchAttribute {
  cudaLaunchAttributeID id;
  struct {
    int cooperative;
  } val;
};
struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes;
  cudaStream_t stream;
  cudaLaunchAttribute* attrs;
  unsigned numAttrs;
};

const char* cudaGetErrorString(cudaError_t);
cudaError_t cudaGetLastError();
cudaError_t cudaGetDeviceCount(int*);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp*, int);
cudaError_t cudaSetDevice(int);
cudaError_t cudaGetDevice(int*);
cudaError_t cudaDeviceGetAttribute(int*, cudaDeviceAttr, int);
cudaError_t cudaMalloc(void**, size_t);
cudaError_t cudaFree(void*);
constexpr unsigned cudaHostAllocPortable = 1;
cudaError_t cudaHostAlloc(void**, size_t, unsigned);
cudaError_t cudaFreeHost(void*);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t*, unsigned);
cudaError_t cudaStreamDestroy(cudaStream_t);
cudaError_t cudaStreamSynchronize(cudaStream_t);
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned);
cudaError_t cudaEventCreate(cudaEvent_t*);
cudaError_t cudaEventDestroy(cudaEvent_t);
cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t);
cudaError_t cudaEventElapsedTime(float*, cudaEvent_t, cudaEvent_t);
cudaError_t cudaMemsetAsync(void*, int, size_t, cudaStream_t);
cudaError_t cudaMemcpyAsync(void*, const void*, size_t, cudaMemcpyKind, cudaStream_t);

namespace emulator {

// The launch of a kernel for every thread of the grid.
struct Launch {
  dim3 grid, block;
  size_t shared_bytes;  // of dynamic shared memory
  bool together;        // all blocks run at the same time
  std::function<void()> kernel;
};

cudaError_t set_dynamic_shared_memory(const void* kernel, int bytes);
// Returns an error if a GPU could not launch the kernel. Else it runs when somebody waits for the stream.
cudaError_t queue_kernel(cudaStream_t, const void* kernel, Launch);

}  // namespace emulator

template <class Arguments>
cudaError_t cudaFuncSetAttribute(void (*kernel)(Arguments), cudaFuncAttribute, int value) {
  return emulator::set_dynamic_shared_memory(reinterpret_cast<const void*>(kernel), value);
}

template <class Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Arguments), const Arguments& arguments) {
  const bool together = config->numAttrs > 0 && config->attrs->val.cooperative;
  return emulator::queue_kernel(config->stream, reinterpret_cast<const void*>(kernel),
                                {config->gridDim, config->blockDim, config->dynamicSmemBytes, together, [=] { kernel(arguments); }});
}
