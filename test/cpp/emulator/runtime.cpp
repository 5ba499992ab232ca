// The CUDA runtime of the emulator. Device memory is host memory. A stream runs its work at once, except copies from and to pinned memory,
// which take effect in cudaStreamSynchronize.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <new>
#include <vector>

#include "cuda_runtime.h"

struct EmulatedStream {
  struct Copy {
    std::byte* pinned;
    std::vector<std::byte> bytes;
  };
  // uploads: what the pinned memory held when the copy was queued. downloads: what it will hold.
  std::vector<Copy> uploads, downloads;
};
struct EmulatedEvent {
  std::chrono::steady_clock::time_point time;
};

namespace {
constexpr std::align_val_t kAlignment{256};
constexpr size_t kMemory = size_t{4} << 30;  // of the emulated GPU

std::mutex pinning;
std::map<std::byte*, size_t> pinned;  // address and size of each allocation

bool is_pinned(std::byte* host, size_t bytes) {
  const std::lock_guard lock(pinning);
  auto after = pinned.upper_bound(host);
  if (after == pinned.begin()) return false;
  const auto& [first, size] = *--after;
  return host + bytes <= first + size;
}
}  // namespace

const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaErrorMemoryAllocation ? "out of memory" : error == cudaErrorInvalidValue ? "invalid argument" : "no error";
}
cudaError_t cudaGetLastError() { return cudaSuccess; }
cudaError_t cudaGetDeviceCount(int* count) { return *count = 1, cudaSuccess; }
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  *properties = {"emulated", 8, 0, kMemory};
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int) { return cudaSuccess; }
cudaError_t cudaMalloc(void** memory, size_t bytes) {
  if (bytes > kMemory) return cudaErrorMemoryAllocation;
  *memory = ::operator new(std::max<size_t>(bytes, 1), kAlignment);
  std::memset(*memory, 0xff, bytes);  // NaN, so that reading uninitialised memory shows in the results
  return cudaSuccess;
}
cudaError_t cudaFree(void* memory) {
  ::operator delete(memory, kAlignment);
  return cudaSuccess;
}
cudaError_t cudaHostAlloc(void** memory, size_t bytes, unsigned) {
  if (const cudaError_t error = cudaMalloc(memory, bytes)) return error;
  const std::lock_guard lock(pinning);
  pinned[static_cast<std::byte*>(*memory)] = bytes;
  return cudaSuccess;
}
cudaError_t cudaFreeHost(void* memory) {
  {
    const std::lock_guard lock(pinning);
    if (pinned.erase(static_cast<std::byte*>(memory)) == 0) std::abort();
  }
  return cudaFree(memory);
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) { return *stream = new EmulatedStream, cudaSuccess; }
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete stream;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  for (const EmulatedStream::Copy& copy : stream->uploads)
    if (std::memcmp(copy.pinned, copy.bytes.data(), copy.bytes.size()) != 0) {
      std::fprintf(stderr, "emulated stream: pinned memory was changed before its queued copy was done\n");
      std::abort();
    }
  for (const EmulatedStream::Copy& copy : stream->downloads) std::memcpy(copy.pinned, copy.bytes.data(), copy.bytes.size());
  stream->uploads.clear();
  stream->downloads.clear();
  return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t* event) { return *event = new EmulatedEvent, cudaSuccess; }
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t) {
  event->time = std::chrono::steady_clock::now();
  return cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t first, cudaEvent_t second) {
  *milliseconds = std::chrono::duration<float, std::milli>(second->time - first->time).count();
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* memory, int value, size_t bytes, cudaStream_t) {
  std::memset(memory, value, bytes);
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  if (bytes == 0) return cudaSuccess;  // `from` may be null
  const auto* source = static_cast<const std::byte*>(from);
  std::byte* host = kind == cudaMemcpyHostToDevice ? const_cast<std::byte*>(source) : static_cast<std::byte*>(to);
  const bool deferred = kind != cudaMemcpyDeviceToDevice && is_pinned(host, bytes);
  if (deferred) (kind == cudaMemcpyHostToDevice ? stream->uploads : stream->downloads).push_back({host, {source, source + bytes}});
  if (deferred && kind == cudaMemcpyDeviceToHost) std::memset(to, 0xff, bytes);
  else std::memcpy(to, from, bytes);
  return cudaSuccess;
}
