// The functions of the CUDA runtime. Device memory is host memory.
#include <chrono>
#include <map>
#include <vector>

#include "memory.h"
#include "queue.h"
#include "threads.h"

using emulator::Memory;
using emulator::queue_of;

namespace {

constexpr size_t kMemory = size_t{4} << 30;  // of the emulated GPU

// A place in a stream, and the time at which the stream reached it.
struct Stamp {
  std::shared_ptr<emulator::Queue> queue;
  uint64_t number = 0;
  bool reached = false;
  std::chrono::steady_clock::time_point time;
};

cudaError_t allocate(void** memory, size_t bytes, Memory kind) {
  if (bytes > kMemory) return cudaErrorMemoryAllocation;
  *memory = emulator::allocate(bytes, kind);
  return cudaSuccess;
}

void queue(cudaStream_t stream, int64_t& count, std::function<void()> work, const std::byte* pinned = nullptr) {
  const std::lock_guard lock(emulator::running());
  ++count;
  queue_of(stream)->add(std::move(work), pinned);
}

// The source is read now. Pinned memory must still be unchanged when the copy runs, because a GPU may read it at any time between.
void queue_upload(cudaStream_t stream, std::byte* to, const std::byte* from, size_t bytes) {
  const bool pinned = emulator::is_pinned(from, bytes);
  auto upload = [=, values = std::vector<std::byte>(from, from + bytes)] {
    if (pinned && std::memcmp(from, values.data(), bytes) != 0) emulator::fail("pinned memory was changed before its queued copy was done");
    std::memcpy(to, values.data(), bytes);
  };
  queue(stream, emulator::counts.copies, std::move(upload), pinned ? from : nullptr);
}

// Pinned memory holds NaN until the copy has run.
void queue_download(cudaStream_t stream, std::byte* to, const std::byte* from, size_t bytes) {
  const bool pinned = emulator::is_pinned(to, bytes);
  if (pinned) std::memset(to, 0xff, bytes);
  queue(
      stream, emulator::counts.copies, [=] { std::memcpy(to, from, bytes); }, pinned ? to : nullptr);
  if (!pinned) cudaStreamSynchronize(stream);
}

}  // namespace

struct EmulatedEvent {
  std::shared_ptr<Stamp> stamp;
};

namespace {

// The limits of all GPUs since compute capability 3.0.
bool is_valid(dim3 grid, dim3 block) {
  const uint64_t threads = uint64_t{block.x} * block.y * block.z;
  return threads > 0 && threads <= 1024 && block.z <= 64 && grid.x > 0 && grid.x <= 0x7fffffff && grid.y > 0 && grid.y <= 0xffff &&
         grid.z > 0 && grid.z <= 0xffff;
}

// The dynamic shared memory of kernels that may have more than 48 kB. Change it under the lock.
std::map<const void*, size_t> dynamic_shared_memory_of;

}  // namespace

cudaError_t emulator::set_dynamic_shared_memory(const void* kernel, int bytes) {
  if (bytes < 0 || static_cast<size_t>(bytes) > kSharedBytes) return cudaErrorInvalidValue;
  const std::lock_guard lock(running());
  dynamic_shared_memory_of[kernel] = static_cast<size_t>(bytes);
  return cudaSuccess;
}

cudaError_t emulator::queue_kernel(cudaStream_t stream, const void* kernel, Launch launch) {
  constexpr size_t kUsualSharedBytes = 48 << 10;
  const std::lock_guard lock(running());
  const auto own = dynamic_shared_memory_of.find(kernel);
  const auto& [grid, block, shared_bytes, together, body] = launch;
  if (!is_valid(grid, block)) return cudaErrorInvalidConfiguration;
  if (shared_bytes > (own != dynamic_shared_memory_of.end() ? own->second : kUsualSharedBytes)) return cudaErrorInvalidValue;
  if (together && uint64_t{grid.x} * grid.y * grid.z > kMultiprocessors) return cudaErrorCooperativeLaunchTooLarge;
  const Order order = queue_of(stream)->next_order();
  queue(stream, counts.kernels, [order, work = std::move(launch)] { run(work, order); });
  return cudaSuccess;
}

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess: return "no error";
    case cudaErrorInvalidValue: return "invalid argument";
    case cudaErrorMemoryAllocation: return "out of memory";
    case cudaErrorInvalidConfiguration: return "invalid configuration argument";
    case cudaErrorNotReady: return "device not ready";
    case cudaErrorCooperativeLaunchTooLarge: return "too many blocks in cooperative launch";
  }
  return "unknown error";
}
cudaError_t cudaGetLastError() { return cudaSuccess; }
cudaError_t cudaGetDeviceCount(int* count) { return *count = 1, cudaSuccess; }
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  *properties = {"emulated", 8, 0, kMemory};
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int) { return cudaSuccess; }
cudaError_t cudaGetDevice(int* index) { return *index = 0, cudaSuccess; }
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  *value = static_cast<int>(attribute == cudaDevAttrMultiProcessorCount ? emulator::kMultiprocessors : emulator::kSharedBytes);
  return cudaSuccess;
}
cudaError_t cudaMalloc(void** memory, size_t bytes) { return allocate(memory, bytes, Memory::kDevice); }
cudaError_t cudaFree(void* memory) {
  if (memory) emulator::release(static_cast<std::byte*>(memory), Memory::kDevice);
  return cudaSuccess;
}
cudaError_t cudaHostAlloc(void** memory, size_t bytes, unsigned) { return allocate(memory, bytes, Memory::kPinned); }
cudaError_t cudaFreeHost(void* memory) {
  if (memory) emulator::release(static_cast<std::byte*>(memory), Memory::kPinned);
  return cudaSuccess;
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) { return *stream = new EmulatedStream, cudaSuccess; }
// Work that nobody has waited for does not run any more, unless another stream waits for an event behind it.
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete stream;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  queue_of(stream)->run();
  emulator::check_red_zones();
  return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  queue_of(stream)->add([stamp = event->stamp] {
    if (stamp) stamp->queue->run_until(stamp->number);
  });
  return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t* event) { return *event = new EmulatedEvent, cudaSuccess; }
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  const auto stamp = std::make_shared<Stamp>();
  stamp->queue = queue_of(stream);
  event->stamp = stamp;
  const std::lock_guard lock(emulator::running());
  stamp->number = stamp->queue->add([stamp] {
    stamp->time = std::chrono::steady_clock::now();
    stamp->reached = true;
  });
  return cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t first, cudaEvent_t second) {
  if (!first->stamp || !second->stamp) return cudaErrorInvalidValue;
  if (!first->stamp->reached || !second->stamp->reached) return cudaErrorNotReady;
  *milliseconds = std::chrono::duration<float, std::milli>(second->stamp->time - first->stamp->time).count();
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* memory, int value, size_t bytes, cudaStream_t stream) {
  if (bytes == 0) return cudaSuccess;  // `memory` may be null
  queue(stream, emulator::counts.clears, [=] { std::memset(memory, value, bytes); });
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  if (bytes == 0) return cudaSuccess;  // `from` may be null
  auto* const target = static_cast<std::byte*>(to);
  const auto* const source = static_cast<const std::byte*>(from);
  if (kind == cudaMemcpyHostToDevice) queue_upload(stream, target, source, bytes);
  else if (kind == cudaMemcpyDeviceToHost) queue_download(stream, target, source, bytes);
  else queue(stream, emulator::counts.copies, [=] { std::memcpy(target, source, bytes); });
  return cudaSuccess;
}
