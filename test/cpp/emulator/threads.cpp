// Runs a kernel's blocks one after the other. Each thread of a block is a fibre: a function with a stack of its own that leaves the CPU
// only at a barrier or a warp exchange. A scheduler on the calling thread resumes the fibres whose barrier or exchange is complete. The
// blocks of a cooperative launch take turns: each runs until all its threads wait for other blocks.
#include "threads.h"

#include <algorithm>
#include <memory>
#include <numeric>
#include <random>
#include <vector>

#include "queue.h"
#include "stack_switch.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#else  // only AddressSanitizer has to know which stack is in use
inline void __sanitizer_start_switch_fiber(void**, const void*, size_t) {}
inline void __sanitizer_finish_switch_fiber(void*, const void**, size_t*) {}
#endif

uint3 threadIdx{}, blockIdx{};
dim3 blockDim, gridDim;

#ifdef __linux__
extern "C" char __start_emulated_shared[], __stop_emulated_shared[];  // defined by the linker
#endif

namespace emulator {
namespace {

constexpr size_t kStackBytes = 64 << 10;
constexpr unsigned kWarp = 32, kSlotBytes = 64;

struct Warp {
  unsigned lanes;
  uint64_t arrivals;                                   // calls of exchange() by all lanes together
  alignas(64) std::byte slots[2][kWarp * kSlotBytes];  // values of the even and of the odd exchanges
};

// 16 bytes that are zero if `from` is null.
struct Copy {
  void* to;
  const void* from;
};

struct Fibre;

// A block that runs, or waits for other blocks. Blocks are reused.
struct Block {
  uint3 index;
  std::vector<Fibre*> threads;
  unsigned remaining;  // threads that are not done
  std::vector<Warp> warps;
  uint64_t arrivals;  // calls of barrier() by all threads together
  std::vector<std::byte> dynamic_shared_memory;
  std::vector<char> shared_memory;  // while other blocks run
};

// One thread of a block. Fibres are reused for all blocks.
struct Fibre {
  void* stack_pointer;  // saved by emulator_switch
  std::unique_ptr<std::byte[]> stack = std::make_unique_for_overwrite<std::byte[]>(kStackBytes);
  void* fake_stack = nullptr;
  Block* block;
  uint3 index;
  unsigned number;                              // within the block
  uint64_t barriers, grid_barriers, exchanges;  // that it has reached
  const uint64_t* counter;                      // the fibre can be resumed when *counter >= target
  uint64_t target;
  std::vector<Copy> copies;  // started, not finished
  bool done;
};

thread_local std::vector<std::unique_ptr<Fibre>> fibres;  // a fibre stays on one host thread, as AddressSanitizer requires
std::vector<Block> blocks;                                // that run at the same time
Fibre* current = nullptr;
const std::function<void()>* body = nullptr;
bool together = false;       // the launch is cooperative
uint64_t grid_arrivals = 0;  // calls of grid_barrier() by all threads of all blocks together
const uint64_t zero = 0;

void* scheduler = nullptr;  // its saved stack pointer
void* scheduler_fake_stack = nullptr;
const void* scheduler_bottom = nullptr;
size_t scheduler_bytes = 0;

// Returns to the scheduler; comes back when it resumes this fibre.
void suspend() {
  __sanitizer_start_switch_fiber(&current->fake_stack, scheduler_bottom, scheduler_bytes);
  emulator_switch(&current->stack_pointer, scheduler);
  __sanitizer_finish_switch_fiber(current->fake_stack, nullptr, nullptr);
}

// Suspends the current fibre until counter >= target.
void wait(const uint64_t& counter, uint64_t target) {
  current->counter = &counter;
  current->target = target;
  if (counter < target) suspend();
}

// The function that a fibre runs: the kernel, once for every block.
void fibre_main() {
  __sanitizer_finish_switch_fiber(nullptr, &scheduler_bottom, &scheduler_bytes);
  for (;;) {
    (*body)();
    if (!current->copies.empty()) fail("a thread ends without waiting for %zu copies into shared memory", current->copies.size());
    current->done = true;
    suspend();
  }
}

std::unique_ptr<Fibre> make_fibre() {
  auto fibre = std::make_unique<Fibre>();
  // The stack looks as if emulator_switch had saved it at the first instruction of fibre_main.
  auto* top = reinterpret_cast<void**>(fibre->stack.get() + kStackBytes) - kSavedWords;
  std::fill_n(top, kSavedWords, nullptr);
  top[kReturnAddress] = reinterpret_cast<void*>(&fibre_main);
  fibre->stack_pointer = top;
  return fibre;
}

// Runs the fibre until it suspends.
void resume(Fibre& fibre) {
  current = &fibre;
  threadIdx = fibre.index;
  __sanitizer_start_switch_fiber(&scheduler_fake_stack, fibre.stack.get(), kStackBytes);
  emulator_switch(&scheduler, fibre.stack_pointer);
  __sanitizer_finish_switch_fiber(scheduler_fake_stack, nullptr, nullptr);
}

// The numbers from 0 to count - 1.
std::vector<unsigned> in_order(Order order, unsigned count) {
  std::vector<unsigned> numbers(count);
  std::iota(numbers.begin(), numbers.end(), 0u);
  if (order == Order::kBackward) std::reverse(numbers.begin(), numbers.end());
  if (order == Order::kShuffled) std::shuffle(numbers.begin(), numbers.end(), std::mt19937(1));
  return numbers;
}

// Gives the block its threads: the fibres from number first_fibre on.
void start(Block& block, uint3 index, size_t first_fibre, size_t shared_bytes) {
  const unsigned threads = blockDim.x * blockDim.y * blockDim.z;
  while (fibres.size() < first_fibre + threads) fibres.push_back(make_fibre());
  block.index = index;
  block.threads.resize(threads);
  block.remaining = threads;
  block.warps.resize((threads + kWarp - 1) / kWarp);
  block.arrivals = 0;
  block.dynamic_shared_memory.assign(shared_bytes, std::byte{0xff});
  block.dynamic_shared_memory.shrink_to_fit();  // so that AddressSanitizer knows its end
  block.shared_memory.clear();
  for (Warp& warp : block.warps) warp.lanes = 0, warp.arrivals = 0;
  for (unsigned i = 0; i < threads; ++i) {
    Fibre& fibre = *(block.threads[i] = fibres[first_fibre + i].get());
    fibre.block = &block;
    fibre.index = {i % blockDim.x, i / blockDim.x % blockDim.y, i / blockDim.x / blockDim.y};
    fibre.number = i;
    fibre.barriers = fibre.grid_barriers = fibre.exchanges = fibre.target = 0;
    fibre.counter = &zero;
    fibre.done = false;
    ++block.warps[i / kWarp].lanes;
  }
}

// Shared memory, except the arrays of function templates: GCC 12 ignores the section attribute there. These functions are not instrumented,
// because AddressSanitizer has red zones between the arrays. volatile: else the compiler makes them calls of memset and memcpy, which are
// instrumented.
__attribute__((no_sanitize("address"))) void poison_shared_memory() {
#ifdef __linux__
  volatile char* byte = __start_emulated_shared;
  for (; __stop_emulated_shared - byte >= 8; byte += 8) *reinterpret_cast<volatile uint64_t*>(byte) = UINT64_MAX;
  for (; byte < __stop_emulated_shared; ++byte) *byte = static_cast<char>(0xff);
#endif
}

#ifdef __linux__
__attribute__((no_sanitize("address"))) void copy_unseen(const volatile char* from, size_t bytes, volatile char* to) {
  for (; bytes >= 8; bytes -= 8, from += 8, to += 8)
    *reinterpret_cast<volatile uint64_t*>(to) = *reinterpret_cast<const volatile uint64_t*>(from);
  for (; bytes > 0; --bytes) *to++ = *from++;
}
#endif

void save_shared_memory(std::vector<char>& to) {
#ifdef __linux__
  to.resize(static_cast<size_t>(__stop_emulated_shared - __start_emulated_shared));
  copy_unseen(__start_emulated_shared, to.size(), to.data());
#endif
}

void restore_shared_memory(const std::vector<char>& from) {
#ifdef __linux__
  copy_unseen(from.data(), from.size(), __start_emulated_shared);
#endif
}

// Runs the block's threads in this order until each is done or waits for other blocks. Returns whether any could run.
bool run_block(Block& block, const std::vector<unsigned>& numbers) {
  blockIdx = block.index;
  bool progress = false, any = false;
  do {
    progress = false;
    for (const unsigned number : numbers) {
      Fibre& fibre = *block.threads[number];
      if (fibre.done || *fibre.counter < fibre.target) continue;
      resume(fibre);
      progress = any = true;
      block.remaining -= fibre.done;
    }
  } while (progress && block.remaining > 0);
  return any;
}

// Runs all `blocks`, which take turns.
void run_blocks(const std::vector<unsigned>& numbers) {
  for (bool progress = true; progress;) {
    progress = false;
    for (Block& block : blocks) {
      if (block.remaining == 0) continue;
      if (block.shared_memory.empty()) poison_shared_memory();
      else restore_shared_memory(block.shared_memory);
      progress |= run_block(block, numbers);
      if (block.remaining > 0) save_shared_memory(block.shared_memory);
    }
  }
  for (const Block& block : blocks)
    if (block.remaining > 0) fail("deadlock in block %u: a barrier or warp exchange is not reached by all threads", block.index.x);
}

}  // namespace

void barrier() {
  Block& block = *current->block;
  ++block.arrivals;
  wait(block.arrivals, ++current->barriers * block.threads.size());
}

void grid_barrier() {
  if (!together) fail("a barrier of the grid in a launch that is not cooperative");
  ++grid_arrivals;
  wait(grid_arrivals, ++current->grid_barriers * blocks.size() * current->block->threads.size());
}

void* dynamic_shared_memory() { return current->block->dynamic_shared_memory.data(); }

const void* exchange(const void* mine, size_t size) {
  if (size > kSlotBytes) fail("a warp exchange of %zu bytes, which is more than %u", size, kSlotBytes);
  Warp& warp = current->block->warps[current->number / kWarp];
  std::byte* slots = warp.slots[current->exchanges % 2];
  if (size > 0) std::memcpy(slots + current->number % kWarp * size, mine, size);
  ++warp.arrivals;
  wait(warp.arrivals, ++current->exchanges * warp.lanes);
  return slots;
}

void require_aligned_to_16(const void* address) {
  if (reinterpret_cast<uintptr_t>(address) % 16 != 0) fail("a 16-byte vector at an address that is not a multiple of 16");
}

void start_copy(void* to, const void* from, bool exists) {
  require_aligned_to_16(to);
  require_aligned_to_16(from);
  current->copies.push_back({to, exists ? from : nullptr});
}

void finish_copies() {
  for (const auto& [to, from] : current->copies) {
    if (from) std::memcpy(to, from, 16);
    else std::memset(to, 0, 16);
  }
  current->copies.clear();
}

void run(const Launch& launch, Order order) {
  const dim3 grid = launch.grid;
  body = &launch.kernel;
  together = launch.together;
  blockDim = launch.block;
  gridDim = grid;
  grid_arrivals = 0;
  const std::vector<unsigned> block_order = in_order(order, grid.x * grid.y * grid.z);
  const std::vector<unsigned> numbers = in_order(order, blockDim.x * blockDim.y * blockDim.z);
  blocks.resize(together ? block_order.size() : 1);
  for (size_t done = 0; done < block_order.size(); done += blocks.size()) {
    for (size_t i = 0; i < blocks.size(); ++i) {
      const unsigned number = block_order[done + i];
      start(blocks[i], {number % grid.x, number / grid.x % grid.y, number / grid.x / grid.y}, i * numbers.size(), launch.shared_bytes);
    }
    run_blocks(numbers);
  }
}

}  // namespace emulator
