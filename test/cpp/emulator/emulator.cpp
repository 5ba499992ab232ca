#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <numeric>
#include <random>
#include <vector>

#include "cuda_runtime.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#else  // AddressSanitizer alone wants to know which stack is in use
inline void __sanitizer_start_switch_fiber(void**, const void*, size_t) {}
inline void __sanitizer_finish_switch_fiber(void*, const void**, size_t*) {}
#endif

uint3 threadIdx{}, blockIdx{};
dim3 blockDim, gridDim;

// Saves the registers that a function must leave as they are, and goes on where another stack was left by the same. Unlike swapcontext it
// asks nothing of the system: a kernel's thread is switched at every shuffle.
extern "C" void emulator_switch(void** left, void* entered);
#ifndef __x86_64__
#error "the emulator switches stacks in x86-64's machine code; configure without the tests on other processors"
#endif
asm(R"(
.text
.globl emulator_switch
.type emulator_switch, @function
emulator_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size emulator_switch, . - emulator_switch
)");

namespace emulator {

Order order = Order::kForward;

namespace {

constexpr size_t kStackBytes = 64 << 10;
constexpr unsigned kWarp = 32, kSlotBytes = 64;

struct Warp {
  unsigned lanes;
  uint64_t arrived;                                    // at exchanges
  alignas(64) std::byte slots[2][kWarp * kSlotBytes];  // of the exchanges with even and odd numbers
};

// One thread of a block; kept for the blocks to come.
struct Fibre {
  void* stack_pointer;  // where it left off
  std::unique_ptr<std::byte[]> stack = std::make_unique<std::byte[]>(kStackBytes);
  void* fake_stack = nullptr;
  uint3 index;
  unsigned number;               // within the block
  uint64_t barriers, exchanges;  // that it has come to
  const uint64_t* awaited;       // runs on when *awaited is at least `until`
  uint64_t until;
  bool done;
};

std::mutex running;                                       // one kernel at a time, whatever thread it is launched from
thread_local std::vector<std::unique_ptr<Fibre>> fibres;  // of a thread, whose stacks a sanitizer knows
std::vector<Warp> warps;
Fibre* current = nullptr;
const std::function<void()>* body = nullptr;
unsigned threads = 0;  // of a block
uint64_t arrived = 0;  // at barriers of this block
const uint64_t always = 0;

void* scheduler = nullptr;  // where it left off
void* scheduler_fake_stack = nullptr;
const void* scheduler_bottom = nullptr;
size_t scheduler_bytes = 0;

void leave() {
  __sanitizer_start_switch_fiber(&current->fake_stack, scheduler_bottom, scheduler_bytes);
  emulator_switch(&current->stack_pointer, scheduler);
  __sanitizer_finish_switch_fiber(current->fake_stack, nullptr, nullptr);
}

void wait(const uint64_t& counter, uint64_t until) {
  current->awaited = &counter;
  current->until = until;
  if (counter < until) leave();
}

void live() {
  __sanitizer_finish_switch_fiber(nullptr, &scheduler_bottom, &scheduler_bytes);
  for (;;) {
    (*body)();
    current->done = true;
    leave();
  }
}

std::unique_ptr<Fibre> make_fibre() {
  auto fibre = std::make_unique<Fibre>();
  // As if live() had been called, and had been switched away from before its first instruction.
  auto* top = reinterpret_cast<void**>(fibre->stack.get() + kStackBytes) - 8;
  std::fill_n(top, 8, nullptr);
  top[6] = reinterpret_cast<void*>(&live);
  fibre->stack_pointer = top;
  return fibre;
}

void enter(Fibre& fibre) {
  current = &fibre;
  threadIdx = fibre.index;
  __sanitizer_start_switch_fiber(&scheduler_fake_stack, fibre.stack.get(), kStackBytes);
  emulator_switch(&scheduler, fibre.stack_pointer);
  __sanitizer_finish_switch_fiber(scheduler_fake_stack, nullptr, nullptr);
}

std::vector<unsigned> thread_order() {
  std::vector<unsigned> numbers(threads);
  std::iota(numbers.begin(), numbers.end(), 0u);
  if (order == Order::kBackward) std::reverse(numbers.begin(), numbers.end());
  if (order == Order::kShuffled) std::shuffle(numbers.begin(), numbers.end(), std::mt19937(1));
  return numbers;
}

void run_block(const std::vector<unsigned>& numbers) {
  arrived = 0;
  for (Warp& warp : warps) warp.lanes = 0, warp.arrived = 0;
  for (unsigned i = 0; i < threads; ++i) {
    Fibre& fibre = *fibres[i];
    fibre.index = {i % blockDim.x, i / blockDim.x % blockDim.y, i / blockDim.x / blockDim.y};
    fibre.number = i;
    fibre.barriers = fibre.exchanges = fibre.until = 0;
    fibre.awaited = &always;
    fibre.done = false;
    ++warps[i / kWarp].lanes;
  }
  for (unsigned left = threads; left > 0;) {
    bool moved = false;
    for (const unsigned number : numbers) {
      Fibre& fibre = *fibres[number];
      if (fibre.done || *fibre.awaited < fibre.until) continue;
      enter(fibre);
      moved = true;
      left -= fibre.done;
    }
    if (moved) continue;
    std::fprintf(stderr, "emulated kernel: in block %u some threads wait for others that never come\n", blockIdx.x);
    std::abort();
  }
}

}  // namespace

void barrier() {
  ++arrived;
  wait(arrived, ++current->barriers * threads);
}

const void* exchange(const void* mine, size_t size) {
  if (size > kSlotBytes) std::abort();
  Warp& warp = warps[current->number / kWarp];
  std::byte* slots = warp.slots[current->exchanges % 2];
  std::memcpy(slots + current->number % kWarp * size, mine, size);
  ++warp.arrived;
  wait(warp.arrived, ++current->exchanges * warp.lanes);
  return slots;
}

void run(dim3 grid, dim3 block, const std::function<void()>& kernel) {
  const std::lock_guard lock(running);
  body = &kernel;
  blockDim = block;
  gridDim = grid;
  threads = block.x * block.y * block.z;
  while (fibres.size() < threads) fibres.push_back(make_fibre());
  warps.resize((threads + kWarp - 1) / kWarp);
  const std::vector<unsigned> numbers = thread_order();
  for (blockIdx.z = 0; blockIdx.z < grid.z; ++blockIdx.z)
    for (blockIdx.y = 0; blockIdx.y < grid.y; ++blockIdx.y)
      for (blockIdx.x = 0; blockIdx.x < grid.x; ++blockIdx.x) run_block(numbers);
}

}  // namespace emulator

// The runtime: memory is the host's, streams do their work at once, but for copies from and to pinned memory.

struct EmulatedStream {
  struct Copy {
    std::byte* pinned;
    std::vector<std::byte> bytes;
  };
  std::vector<Copy> sent, fetched;
};
struct EmulatedEvent {
  std::chrono::steady_clock::time_point time;
};

namespace {
constexpr std::align_val_t kAlignment{256};
constexpr size_t kMemory = size_t{4} << 30;

std::mutex pinning;
std::map<std::byte*, size_t> pinned;  // first byte and size of what is

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
  std::memset(*memory, 0xff, bytes);  // not a number, to be noticed where it is read before it is written
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
  for (const EmulatedStream::Copy& copy : stream->sent)
    if (std::memcmp(copy.pinned, copy.bytes.data(), copy.bytes.size()) != 0) {
      std::fprintf(stderr, "emulated stream: pinned memory was changed while a copy of it was queued\n");
      std::abort();
    }
  for (const EmulatedStream::Copy& copy : stream->fetched) std::memcpy(copy.pinned, copy.bytes.data(), copy.bytes.size());
  stream->sent.clear();
  stream->fetched.clear();
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
  if (bytes == 0) return cudaSuccess;  // nothing may be copied from nowhere
  const auto* source = static_cast<const std::byte*>(from);
  std::byte* host = kind == cudaMemcpyHostToDevice ? const_cast<std::byte*>(source) : static_cast<std::byte*>(to);
  const bool later = kind != cudaMemcpyDeviceToDevice && is_pinned(host, bytes);
  if (later) (kind == cudaMemcpyHostToDevice ? stream->sent : stream->fetched).push_back({host, {source, source + bytes}});
  if (later && kind == cudaMemcpyDeviceToHost) std::memset(to, 0xff, bytes);
  else std::memcpy(to, from, bytes);
  return cudaSuccess;
}
