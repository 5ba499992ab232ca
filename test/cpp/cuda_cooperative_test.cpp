// The emulator runs the blocks of a cooperative launch at the same time, and finds what is wrong with their barriers.
#include <algorithm>
#include <cstring>
#include <numeric>
#include <vector>

#include "cuda_planted_errors.h"
#include "emulator/cooperative_groups.h"

namespace clip_es::cuda_cooperative_test {

namespace {

constexpr unsigned kBlocks = emulator::kMultiprocessors, kThreads = 64;

cudaError_t launch_together(cudaStream_t stream, void (*kernel)(Pointers), const Pointers& arguments, unsigned blocks,
                            size_t shared_bytes = 0) {
  cudaLaunchAttribute together{cudaLaunchAttributeCooperative, {1}};
  const cudaLaunchConfig_t config{blocks, kThreads, shared_bytes, stream, &together, 1};
  return cudaLaunchKernelEx(&config, kernel, arguments);
}

void run_together(void (*kernel)(Pointers), const Pointers& arguments) {
  const Stream stream;
  CHECK(launch_together(stream, kernel, arguments, kBlocks, kThreads * sizeof(float)) == cudaSuccess);
  stream.wait();
}

void wait_for_all_blocks() { cooperative_groups::this_grid().sync(); }

unsigned thread_of_grid() { return blockIdx.x * kThreads + threadIdx.x; }
unsigned opposite_thread() { return kBlocks * kThreads - 1 - thread_of_grid(); }

// `in` is memory that all blocks write, `out` what each thread reads there.
float* exchanged(const Pointers& args) { return const_cast<float*>(args.in); }

__global__ void read_what_others_wrote(Pointers args) {
  exchanged(args)[thread_of_grid()] = static_cast<float>(thread_of_grid());
  wait_for_all_blocks();
  args.out[thread_of_grid()] = exchanged(args)[opposite_thread()];
}
__global__ void read_without_waiting(Pointers args) {
  exchanged(args)[thread_of_grid()] = static_cast<float>(thread_of_grid());
  args.out[thread_of_grid()] = exchanged(args)[opposite_thread()];
}
// Lacks a barrier between the reading and the second writing.
__global__ void overwrite_without_waiting(Pointers args) {
  exchanged(args)[thread_of_grid()] = static_cast<float>(thread_of_grid());
  wait_for_all_blocks();
  args.out[thread_of_grid()] = exchanged(args)[opposite_thread()];
  exchanged(args)[thread_of_grid()] = -1;
}
// Each block has shared memory of its own, with and without a size that the launch sets.
__global__ void keep_shared_memory(Pointers args) {
  __shared__ float block;
  auto* const threads = static_cast<float*>(emulator::dynamic_shared_memory());
  if (threadIdx.x == 0) block = static_cast<float>(blockIdx.x);
  threads[threadIdx.x] = static_cast<float>(threadIdx.x);
  wait_for_all_blocks();
  args.out[thread_of_grid()] = block * kThreads + threads[threadIdx.x];
}
__global__ void skip_barrier_of_grid(Pointers) {
  if (thread_of_grid() != 5) wait_for_all_blocks();
}
__global__ void skip_barrier_of_block(Pointers) {
  if (blockIdx.x > 0 || threadIdx.x != 5) __syncthreads();
  wait_for_all_blocks();
}

#ifdef __SANITIZE_ADDRESS__
__global__ void write_behind_shared_memory(Pointers) { static_cast<float*>(emulator::dynamic_shared_memory())[kThreads + blockIdx.x] = 1; }
#endif

// What the kernel writes in each order of blocks and threads.
std::vector<std::vector<float>> in_three_orders(void (*kernel)(Pointers)) {
  using emulator::Order;
  std::vector<std::vector<float>> results;
  for (const Order order : {Order::kForward, Order::kBackward, Order::kShuffled}) {
    const Floats memory(kBlocks * kThreads), out(kBlocks * kThreads);
    emulator::launch_order = order;
    run_together(kernel, {memory, out});
    emulator::launch_order = Order::kInTurn;
    results.emplace_back(out + 0, out + kBlocks * kThreads);
  }
  return results;
}

bool is_equal(const std::vector<float>& a, const std::vector<float>& b) {
  return std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

}  // namespace

TEST("CUDA: in the emulator the blocks of a cooperative launch wait for each other, and each keeps its shared memory") {
  std::vector<float> numbers(kBlocks * kThreads);
  std::iota(numbers.begin(), numbers.end(), 0.0f);
  for (const std::vector<float>& result : in_three_orders(keep_shared_memory)) CHECK(result == numbers);
  std::reverse(numbers.begin(), numbers.end());
  for (const std::vector<float>& result : in_three_orders(read_what_others_wrote)) CHECK(result == numbers);
}

TEST("CUDA: a missing barrier between blocks changes the result in one of the emulator's orders, whether it delays a reader or a writer") {
  for (const auto kernel : {read_without_waiting, overwrite_without_waiting}) {
    const std::vector<std::vector<float>> results = in_three_orders(kernel);
    CHECK(!is_equal(results[0], results[1]) || !is_equal(results[0], results[2]));
  }
}

TEST("CUDA: the emulator ends the program at a barrier of all blocks that a thread does not reach, or for which the launch is not made") {
  check_error([] { run_together(skip_barrier_of_grid, {}); }, "deadlock in block");
  check_error([] { run_together(skip_barrier_of_block, {}); }, "deadlock in block 0");
  check_error([] { run(skip_barrier_of_grid, {}, kBlocks, kThreads); }, "a barrier of the grid in a launch that is not cooperative");
}

TEST("CUDA: the emulator refuses cooperative launches that do not fit, and more shared memory than the kernel or the GPU may have") {
  const Stream stream;
  const Floats out(kBlocks * kThreads);
  const auto error_of = [&](unsigned blocks, size_t shared_bytes) {
    return launch_together(stream, keep_shared_memory, {nullptr, out}, blocks, shared_bytes);
  };
  CHECK(error_of(kBlocks + 1, 256) == cudaErrorCooperativeLaunchTooLarge);
  CHECK(error_of(kBlocks, 48 << 10) == cudaSuccess);
  CHECK(error_of(kBlocks, (48 << 10) + 1) == cudaErrorInvalidValue);
  const auto allow = [](int bytes) { return cudaFuncSetAttribute(keep_shared_memory, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes); };
  CHECK(allow(emulator::kSharedBytes + 1) == cudaErrorInvalidValue);
  CHECK(allow(emulator::kSharedBytes) == cudaSuccess);
  CHECK(error_of(kBlocks, emulator::kSharedBytes) == cudaSuccess);
  CHECK(allow(0) == cudaSuccess);
  CHECK(error_of(kBlocks, 1) == cudaErrorInvalidValue);
  stream.wait();
}

#ifdef __SANITIZE_ADDRESS__
TEST("CUDA: AddressSanitizer finds a kernel that writes behind the shared memory that its launch asks for") {
  check_error([] { run_together(write_behind_shared_memory, {}); }, "heap-buffer-overflow");
}
#endif

}  // namespace clip_es::cuda_cooperative_test
