// Runs a kernel's blocks one after the other. Each thread of a block is a fibre: a function with a stack of its own that leaves the CPU
// only at a barrier or a warp exchange. A scheduler on the calling thread resumes the fibres whose barrier or exchange is complete.
#include "threads.h"

#include <algorithm>
#include <memory>
#include <numeric>
#include <random>
#include <vector>

#include "queue.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#else  // only AddressSanitizer has to know which stack is in use
inline void __sanitizer_start_switch_fiber(void**, const void*, size_t) {}
inline void __sanitizer_finish_switch_fiber(void*, const void**, size_t*) {}
#endif

uint3 threadIdx{}, blockIdx{};
dim3 blockDim, gridDim;

// Switches stacks: saves the callee-saved registers and the stack pointer of the current stack in *saved, and continues where `resumed` was
// saved. swapcontext would need a system call for the signal mask, which is too slow for a switch at every warp shuffle.
extern "C" void emulator_switch(void** saved, void* resumed);
#if defined(__x86_64__)
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
constexpr size_t kSavedWords = 8, kReturnAddress = 6;  // words on the stack, one for alignment; which of them emulator_switch returns to
#elif defined(__aarch64__)
asm(R"(
.text
.globl emulator_switch
.type emulator_switch, %function
emulator_switch:
  sub sp, sp, #160
  stp x19, x20, [sp]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
.size emulator_switch, . - emulator_switch
)");
constexpr size_t kSavedWords = 20, kReturnAddress = 11;  // words on the stack; which of them emulator_switch returns to
#else
#error "the emulator switches stacks with instructions of x86-64 and arm64; configure without the tests on other CPUs"
#endif

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

// One thread of a block. Fibres are reused for all blocks.
struct Fibre {
  void* stack_pointer;  // saved by emulator_switch
  std::unique_ptr<std::byte[]> stack = std::make_unique<std::byte[]>(kStackBytes);
  void* fake_stack = nullptr;
  uint3 index;
  unsigned number;               // within the block
  uint64_t barriers, exchanges;  // that it has reached
  const uint64_t* counter;       // the fibre can be resumed when *counter >= target
  uint64_t target;
  std::vector<Copy> copies;  // started, not finished
  bool done;
};

thread_local std::vector<std::unique_ptr<Fibre>> fibres;  // a fibre stays on one host thread, as AddressSanitizer requires
std::vector<Warp> warps;
Fibre* current = nullptr;
const std::function<void()>* body = nullptr;
unsigned threads = 0;   // in a block
uint64_t arrivals = 0;  // calls of barrier() by all threads of this block together
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

void reset_block() {
  arrivals = 0;
  for (Warp& warp : warps) warp.lanes = 0, warp.arrivals = 0;
  for (unsigned i = 0; i < threads; ++i) {
    Fibre& fibre = *fibres[i];
    fibre.index = {i % blockDim.x, i / blockDim.x % blockDim.y, i / blockDim.x / blockDim.y};
    fibre.number = i;
    fibre.barriers = fibre.exchanges = fibre.target = 0;
    fibre.counter = &zero;
    fibre.done = false;
    ++warps[i / kWarp].lanes;
  }
}

// Fills shared memory with NaN, except the arrays of function templates: GCC 12 ignores the section attribute there. Not instrumented,
// because AddressSanitizer has red zones between the arrays. volatile: else the compiler makes it a call of memset, which is instrumented.
__attribute__((no_sanitize("address"))) void poison_shared_memory() {
#ifdef __linux__
  volatile char* byte = __start_emulated_shared;
  for (; __stop_emulated_shared - byte >= 8; byte += 8) *reinterpret_cast<volatile uint64_t*>(byte) = UINT64_MAX;
  for (; byte < __stop_emulated_shared; ++byte) *byte = static_cast<char>(0xff);
#endif
}

void run_block(const std::vector<unsigned>& numbers) {
  reset_block();
  for (unsigned remaining = threads; remaining > 0;) {
    bool progress = false;
    for (const unsigned number : numbers) {
      Fibre& fibre = *fibres[number];
      if (fibre.done || *fibre.counter < fibre.target) continue;
      resume(fibre);
      progress = true;
      remaining -= fibre.done;
    }
    if (progress) continue;
    fail("deadlock in block %u: a barrier or warp exchange is not reached by all threads", blockIdx.x);
  }
}

}  // namespace

void barrier() {
  ++arrivals;
  wait(arrivals, ++current->barriers * threads);
}

const void* exchange(const void* mine, size_t size) {
  if (size > kSlotBytes) fail("a warp exchange of %zu bytes, which is more than %u", size, kSlotBytes);
  Warp& warp = warps[current->number / kWarp];
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

void run(dim3 grid, dim3 block, Order order, const std::function<void()>& kernel) {
  body = &kernel;
  blockDim = block;
  gridDim = grid;
  threads = block.x * block.y * block.z;
  while (fibres.size() < threads) fibres.push_back(make_fibre());
  warps.resize((threads + kWarp - 1) / kWarp);
  const std::vector<unsigned> numbers = in_order(order, threads);
  for (const unsigned number : in_order(order, grid.x * grid.y * grid.z)) {
    blockIdx = {number % grid.x, number / grid.x % grid.y, number / grid.x / grid.y};
    poison_shared_memory();
    run_block(numbers);
  }
}

}  // namespace emulator
