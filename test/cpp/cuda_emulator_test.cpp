// The emulator finds what a GPU hides. Each test plants an error. Where the emulator ends the program, that is a child process.
#include <array>
#include <cmath>

#include "check.h"
#include "cuda_planted_errors.h"
#include "cuda_support.h"
#include "support.h"

namespace clip_es::cuda_emulator_test {

namespace {

constexpr const char* kPoisoned = "use-after-poison";

// As LibTorch's products write, which are not compiled for AddressSanitizer.
__attribute__((no_sanitize("address"), noinline)) void write_unseen(volatile float* at) { *at = 0; }

__global__ void copy_one(Pointers args) { *args.out = *args.in; }
__global__ void copy_vector(Pointers args) { *reinterpret_cast<float4*>(args.out) = *reinterpret_cast<const float4*>(args.in); }
__global__ void write_block_number(Pointers args) { *args.out = static_cast<float>(blockIdx.x); }
__global__ void write_thread_number(Pointers args) { *args.out = static_cast<float>(threadIdx.x); }
__global__ void skip_barrier(Pointers) {
  if (threadIdx.x > 0) __syncthreads();
}
// Only the first block writes its shared memory.
__global__ void read_shared(Pointers args) {
  __shared__ float value;
  if (blockIdx.x == 0) value = 1;
  args.out[blockIdx.x] = value;
}

struct FourFloats {
  alignas(16) float at[4];
};

// Copies four floats through shared memory, and writes what is there before and after the wait.
__global__ void copy_through_shared(Pointers args) {
  __shared__ FourFloats values;
  emulator::start_copy(&values, args.in, true);
  args.out[0] = values.at[3];
  emulator::finish_copies();
  args.out[1] = values.at[3];
}
__global__ void clear_shared(Pointers args) {
  __shared__ FourFloats values;
  emulator::start_copy(&values, args.in, false);
  emulator::finish_copies();
  args.out[0] = values.at[3];
}
__global__ void forget_copy(Pointers args) {
  __shared__ FourFloats values;
  emulator::start_copy(&values, args.in, true);
}

#ifdef __SANITIZE_ADDRESS__
__global__ void write_shared(Pointers args) {
  __shared__ float values[4];
  __shared__ float others[4];
  float* volatile start = values;  // else UndefinedBehaviorSanitizer finds it first
  others[0] = start[blockIdx.x] = 1;
  args.out[blockIdx.x] = others[0];
}
#endif

}  // namespace

TEST("CUDA: the emulator ends the program at a 16-byte vector that is read from or written to a misaligned address") {
  const Floats in(16), out(16);
  run(copy_vector, {in + 4, out + 8});
  check_error([&] { run(copy_vector, {in + 2, out}); }, "not a multiple of 16", "misaligned address");
  check_error([&] { run(copy_vector, {in, out + 1}); }, "not a multiple of 16", "misaligned address");
}

TEST("CUDA: in the emulator a copy into shared memory happens when its thread waits, and a thread that does not wait ends the program") {
  const Floats in(8), out(2);
  for (int i = 0; i < 8; ++i) in[i] = static_cast<float>(i);
  run(copy_through_shared, {in, out});
  CHECK(std::isnan(out[0]) && out[1] == 3);
  run(clear_shared, {in, out});
  CHECK(out[0] == 0);
  check_error([&] { run(forget_copy, {in, out}); }, "a thread ends without waiting for 1 copies into shared memory");
  check_error([&] { run(copy_through_shared, {in + 2, out}); }, "not a multiple of 16", "misaligned address");
}

TEST("CUDA: the emulator finds a kernel that writes before or behind an allocation") {
  const Floats in(1), out(3);
  check_error([&] { run(copy_one, {in, out - 1}); }, "1 bytes before an allocation of 12 bytes were written", kPoisoned);
  check_error([&] { run(copy_one, {in, out + 3}); }, "byte 0 behind an allocation of 12 bytes was written", kPoisoned);
}

TEST("CUDA: in the emulator a red zone that was written without AddressSanitizer's knowledge is found when the memory is freed") {
  check_error(
      [] {
        const Floats memory(2);
        write_unseen(memory + 2);
      },
      "byte 0 behind an allocation of 8 bytes was written");
}

TEST("CUDA: in the emulator a result that nobody has waited for is NaN, on the host and on another stream") {
  const Stream producer, consumer;
  const Floats from(1, true), to(1, true), middle(1), end(1);
  *from = 7;
  cudaMemcpyAsync(middle, from, sizeof(float), cudaMemcpyHostToDevice, producer);
  cudaMemcpyAsync(to, middle, sizeof(float), cudaMemcpyDeviceToHost, producer);
  CHECK(std::isnan(*to));
  launch(consumer, copy_one, {middle, end});
  consumer.wait();
  CHECK(std::isnan(*end));
  producer.wait();
  CHECK(*to == 7);
}

TEST("CUDA: in the emulator a stream that waits for an event runs what was queued before it on the other stream, and no more") {
  const Stream producer, consumer;
  const Floats in(2), out(2), from(2, true);
  from[0] = 3, from[1] = 4;
  cudaEvent_t event = nullptr, unused = nullptr;
  cudaEventCreate(&event);
  cudaEventCreate(&unused);
  cudaMemcpyAsync(in, from, sizeof(float), cudaMemcpyHostToDevice, producer);
  cudaEventRecord(event, producer);
  cudaMemcpyAsync(in + 1, from + 1, sizeof(float), cudaMemcpyHostToDevice, producer);
  cudaStreamWaitEvent(consumer, event, 0);
  launch(consumer, copy_one, {in, out});
  launch(consumer, copy_one, {in + 1, out + 1});
  float milliseconds = 0;
  CHECK(cudaEventElapsedTime(&milliseconds, event, event) == cudaErrorNotReady);
  consumer.wait();
  CHECK(out[0] == 3 && std::isnan(out[1]));
  CHECK(cudaEventElapsedTime(&milliseconds, event, event) == cudaSuccess);
  CHECK(cudaEventElapsedTime(&milliseconds, event, unused) == cudaErrorInvalidValue);
  producer.wait();
  cudaEventDestroy(event);
  cudaEventDestroy(unused);
}

TEST("CUDA: in the emulator a product without a Guard is not computed for the stream of the kernels") {
  need_libtorch();
  if (!gpu_is_emulated()) check::skip("a GPU may compute it in time");
  const std::vector<float> identity{1, 0, 0, 1}, values{1, 2, 3, 4};
  const GpuArray<float> a(identity), b(values), out(4);
  const auto multiply = [&] {
    constexpr auto kType = torch::Dtype::kFloat32;
    test_gpu()->torch().mm(torch::dense(a.data(), kType, 2, 2), torch::dense(b.data(), kType, 2, 2), torch::dense(out.data(), kType, 2, 2));
  };
  test_gpu()->wait();
  multiply();
  CHECK(std::isnan(out.host()[0]));
  const torch::Backend::Guard guard(test_gpu()->torch(), test_gpu()->stream());
  multiply();
  CHECK(out.host() == values);
}

TEST("CUDA: the emulator ends the program if pinned memory is changed or freed before its copy is done") {
  const Floats device(1);
  const auto with_queued_copy = [&](const std::function<void(float*)>& error) {
    void* pinned = nullptr;
    cudaHostAlloc(&pinned, sizeof(float), 0);
    const Stream stream;
    cudaMemcpyAsync(device, pinned, sizeof(float), cudaMemcpyHostToDevice, stream);
    error(static_cast<float*>(pinned));
    stream.wait();
  };
  CHECK(error_of([&] { with_queued_copy([](float*) {}); }).empty());
  check_error([&] { with_queued_copy([](float* pinned) { *pinned = 1; }); }, "pinned memory was changed before its queued copy was done");
  check_error([&] { with_queued_copy([](float* pinned) { cudaFreeHost(pinned); }); },
              "pinned memory was freed before its queued copy was done");
}

TEST("CUDA: the emulator ends the program at a barrier that some threads do not reach") {
  check_error([] { run(skip_barrier, {}, 1, 64); }, "deadlock in block 0");
}

TEST("CUDA: the emulator runs blocks and threads forward, backward and shuffled, in turn if no order is chosen") {
  const Floats out(1);
  const auto last = [&](emulator::Order order, void (*kernel)(Pointers), dim3 blocks, dim3 threads) {
    emulator::launch_order = order;
    run(kernel, {nullptr, out}, blocks, threads);
    emulator::launch_order = emulator::Order::kInTurn;
    return *out;
  };
  using emulator::Order;
  for (const bool blocks : {true, false}) {
    const auto last_in = [&](Order order) {
      return blocks ? last(order, write_block_number, 40, 1) : last(order, write_thread_number, 1, 40);
    };
    CHECK(last_in(Order::kForward) == 39 && last_in(Order::kBackward) == 0);
    CHECK(last_in(Order::kShuffled) != 39 && last_in(Order::kShuffled) != 0);
  }
  const Stream stream;
  std::vector<float> seen;
  for (int i = 0; i < 4; ++i) {
    launch(stream, write_block_number, {nullptr, out}, 40);
    stream.wait();
    seen.push_back(*out);
  }
  CHECK(seen[0] == 39 && seen[1] == 0 && seen[2] != 39 && seen[3] == 39);
}

TEST("CUDA: in the emulator a block's shared memory is NaN until the block writes it") {
  const Floats out(2);
  emulator::launch_order = emulator::Order::kForward;
  run(read_shared, {nullptr, out}, 2);
  emulator::launch_order = emulator::Order::kInTurn;
  CHECK(out[0] == 1 && std::isnan(out[1]));
}

#ifdef __SANITIZE_ADDRESS__
TEST("CUDA: AddressSanitizer finds a kernel that writes behind an array in shared memory") {
  const Floats out(5);
  run(write_shared, {nullptr, out}, 4);
  check_error([&] { run(write_shared, {nullptr, out}, 5); }, "global-buffer-overflow");
}
#endif

TEST("CUDA: the emulator refuses launches that every GPU refuses") {
  const Stream stream;
  for (const auto& [blocks, threads] :
       std::vector<std::array<dim3, 2>>{{1, 1025}, {1, dim3(1, 1, 65)}, {dim3(1, 65536), 1}, {0, 1}, {1, 0}})
    CHECK(launch(stream, copy_one, {}, blocks, threads) == cudaErrorInvalidConfiguration);
}

}  // namespace clip_es::cuda_emulator_test
