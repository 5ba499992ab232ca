// Memory and events of a GPU, and devices that cannot be opened.
#include "check.h"
#include "cuda_support.h"
#include "device/device.h"
#include "emulator/control.h"
#include "support.h"
#include "torch/library.h"

namespace clip_es::cuda_gpu_test {

TEST("CUDA: an allocation that is too large fails with kOutOfMemory, its size and the remedy; the next allocation succeeds") {
  Arena arena(cuda::Gpu::memory(test_gpu()));
  CHECK_ERROR(arena.take<std::byte>(size_t{1} << 50), ErrorCode::kOutOfMemory, "smaller maxSide");
  CHECK_ERROR(cuda::Gpu::memory(test_gpu()).allocate(size_t{1} << 50), ErrorCode::kOutOfMemory,
              "has no free block of 1125899.9 GB of memory left");
  arena.take<std::byte>(1 << 20);
}

TEST("CUDA: a time stamp that cannot be recorded does not throw in try_record, and check() reports it as kDeviceUnavailable") {
  need_libtorch();
  cuda::Functions functions = *cuda::clip_es_cuda_functions(cuda::kVersion);
  functions.record = [](cuda::Event, cuda::Stream) { return 1; };
  const cuda::Gpu gpu(functions, emulator::products(), 0);
  const int error = gpu.try_record(nullptr);
  CHECK(error == 1);
  CHECK_ERROR(gpu.check(error, "recording an event"), ErrorCode::kDeviceUnavailable,
              "recording an event failed on cuda:0: invalid argument");
  CHECK_ERROR(gpu.record(nullptr), ErrorCode::kDeviceUnavailable, "recording an event failed on cuda:0");
}

TEST("CUDA: freeing pinned memory selects its GPU first") {
  static std::vector<std::string> calls;
  need_libtorch();
  cuda::Functions functions = *cuda::clip_es_cuda_functions(cuda::kVersion);
  functions.use_gpu = [](int index) { return calls.push_back("use " + std::to_string(index)), 0; };
  functions.release_pinned = [](void* memory) {
    calls.push_back("release");
    return cuda::clip_es_cuda_functions(cuda::kVersion)->release_pinned(memory);
  };
  std::shared_ptr<std::byte> memory =
      cuda::Gpu::pinned_memory(std::make_shared<cuda::Gpu>(functions, emulator::products(), 1)).allocate(64);
  calls.clear();
  memory.reset();
  CHECK(calls.size() >= 2 && calls[0] == "use 1" && calls[1] == "release");
}

TEST("CUDA: a missing driver, no GPU, an index out of range and a GPU that is too old are refused, each with its reason") {
  cuda::Functions functions = *cuda::clip_es_cuda_functions(cuda::kVersion);
  functions.gpu_properties = [](int, cuda::GpuProperties* properties) {
    *properties = {"Tesla T4", 7, 5, size_t{1} << 34};
    return 0;
  };
  functions.gpu_count = [](int*) { return 1; };
  CHECK_ERROR(cuda::check_gpu(functions, 0), ErrorCode::kDeviceUnavailable,
              "device 'cuda:0' cannot be used: the NVIDIA driver is missing or too old");
  functions.gpu_count = [](int* count) { return *count = 0; };
  CHECK_ERROR(cuda::check_gpu(functions, 0), ErrorCode::kDeviceUnavailable, "this process sees no NVIDIA GPU");
  functions.gpu_count = [](int* count) { return *count = 2, 0; };
  CHECK_ERROR(cuda::check_gpu(functions, 2), ErrorCode::kDeviceUnavailable, "this machine has 2 GPUs; use cuda:0 to cuda:1");
  CHECK_ERROR(cuda::check_gpu(functions, 1), ErrorCode::kDeviceUnavailable,
              "Tesla T4 has compute capability 7.5, but 8.0 (Ampere) or newer is required");
  functions.gpu_properties = [](int, cuda::GpuProperties* properties) {
    *properties = {"A100", 8, 0, size_t{1} << 36};
    return 0;
  };
  cuda::check_gpu(functions, 1);
}

TEST("an unknown or unavailable device is refused with the reason and the remedy") {
  need_libtorch();
  Arena arena;
  CHECK(open_device("cpu", arena)->name() == "cpu");
  for (const char* name : {"", "gpu", "cuda:", "cuda:x", "cuda:1x", "cuda:99999999999", "cuda:-1"})
    CHECK_ERROR(open_device(name, arena), ErrorCode::kDeviceUnavailable, "use 'cpu', 'cuda' or 'cuda:N'");
  if (!gpu_is_emulated()) return;
  const char* reason = torch::cuda_library_file().empty() ? "is a CPU build" : "or use device 'cpu'";
  for (const char* name : {"cuda", "cuda:0", "cuda:17"}) CHECK_ERROR(open_device(name, arena), ErrorCode::kDeviceUnavailable, reason);
}

}  // namespace clip_es::cuda_gpu_test
