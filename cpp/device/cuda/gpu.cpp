#include "device/cuda/gpu.h"

#include <cstdio>

#include "core/error.h"
#include "core/platform/library.h"
#include "core/platform/system_error.h"

namespace clip_es::cuda {
namespace {

constexpr int kOldestMajor = 8;  // Ampere, the first with bfloat16 tensor cores
constexpr const char* kLibrary = "clip_es_cuda";
constexpr const char* kNeedLessMemory = "use a smaller maxSide, fewer labels or a smaller model, or end other programs that use this GPU";

// reason: the problem and the remedy. ", or use device 'cpu'" is added to it.
[[noreturn]] void unavailable(int index, const std::string& reason) {
  throw Error(ErrorCode::kDeviceUnavailable,
              "device 'cuda:" + std::to_string(index) + "' cannot be used: " + reason + ", or use device 'cpu'");
}

void* open_kernels(const std::string& file, int index) try {
  return platform::open_library(file);
} catch (const platform::SystemError& error) {
  unavailable(index, std::string("the CUDA kernels cannot be loaded (") + error.what() +
                         "); build them on a machine with CUDA's nvcc by CLIP_ES_CUDA=ON npm run build:native -- --force");
}

const Functions& load_functions(int index) {
  const std::string file = platform::own_folder() + "/" + platform::library_file_name(kLibrary);
  void* library = open_kernels(file, index);
  const auto entry = reinterpret_cast<decltype(&clip_es_cuda_functions)>(platform::find_symbol(library, "clip_es_cuda_functions"));
  const Functions* functions = entry ? entry(kVersion) : nullptr;
  if (!functions)
    unavailable(index, file + " belongs to another version of clip-es; build it again by CLIP_ES_CUDA=ON npm run build:native -- --force");
  return *functions;
}

}  // namespace

void check_gpu(const Functions& functions, int index) {
  int count = 0;
  if (const int error = functions.gpu_count(&count))
    unavailable(index, std::string("the NVIDIA driver is missing or too old (") + functions.error_text(error) + "); install or update it");
  if (count == 0) unavailable(index, "this process sees no NVIDIA GPU; check nvidia-smi and CUDA_VISIBLE_DEVICES");
  if (index >= count)
    unavailable(index, count == 1 ? std::string("this machine has one GPU; use cuda:0")
                                  : "this machine has " + std::to_string(count) + " GPUs; use cuda:0 to cuda:" + std::to_string(count - 1));
  GpuProperties properties;
  if (const int error = functions.gpu_properties(index, &properties))
    unavailable(index, std::string("its properties cannot be read (") + functions.error_text(error) + "); check nvidia-smi");
  if (properties.major < kOldestMajor)
    unavailable(index, std::string(properties.name) + " has compute capability " + std::to_string(properties.major) + "." +
                           std::to_string(properties.minor) + ", but 8.0 (Ampere) or newer is required; use a newer GPU");
}

std::shared_ptr<Gpu> Gpu::open(int index) {
  // The quick checks come first, because LibTorch's CUDA library takes seconds to load.
  if (torch::cuda_library_file().empty())
    unavailable(index,
                "the LibTorch in use is a CPU build (it has no libtorch_cuda.so); fetch a CUDA build by npx clip-es setup --cuda, set "
                "CLIP_ES_LIBTORCH to one");
  const Functions& functions = load_functions(index);
  check_gpu(functions, index);
  return std::make_shared<Gpu>(functions, torch::Backend::cuda(index), index);
}

Gpu::Gpu(const Functions& functions, torch::Backend backend, int index) : functions_(functions), torch_(backend), index_(index) {
  use();
  check(functions_.gpu_properties(index, &properties_), "reading the GPU's properties");
  check(functions_.create_stream(&stream_), "creating a stream");
}

Gpu::~Gpu() {
  functions_.use_gpu(index_);
  functions_.destroy_stream(stream_);
}

void Gpu::check(int error, const char* what) const {
  if (!error) return;
  const std::string gpu = "cuda:" + std::to_string(index_);
  if (functions_.is_out_of_memory(error)) throw Error(ErrorCode::kOutOfMemory, gpu + " has no free memory left: " + kNeedLessMemory);
  throw Error(ErrorCode::kDeviceUnavailable, std::string(what) + " failed on " + gpu + ": " + functions_.error_text(error));
}

MemorySource Gpu::memory(const std::shared_ptr<Gpu>& gpu) {
  const auto allocate = [gpu](size_t bytes) {
    void* memory = nullptr;
    gpu->use();
    if (const int error = gpu->functions_.allocate(bytes, &memory)) {
      char size[64];
      std::snprintf(size, sizeof size, "%.1f GB", bytes / 1e9);
      if (!gpu->functions_.is_out_of_memory(error)) gpu->check(error, "allocating memory");
      throw Error(ErrorCode::kOutOfMemory,
                  "cuda:" + std::to_string(gpu->index_) + " has no free block of " + size + " of memory left: " + kNeedLessMemory);
    }
    return std::shared_ptr<std::byte>(static_cast<std::byte*>(memory), [gpu](std::byte* p) {
      gpu->functions_.use_gpu(gpu->index_);
      gpu->functions_.release(p);
    });
  };
  return {allocate, gpu->properties_.memory};
}

MemorySource Gpu::pinned_memory(const std::shared_ptr<Gpu>& gpu) {
  MemorySource source = host_memory();
  source.allocate = [gpu](size_t bytes) {
    void* memory = nullptr;
    gpu->use();
    if (const int error = gpu->functions_.allocate_pinned(bytes, &memory)) {
      if (!gpu->functions_.is_out_of_memory(error)) gpu->check(error, "allocating pinned memory");
      throw Error(ErrorCode::kOutOfMemory,
                  "the system cannot pin " + std::to_string(bytes >> 20) +
                      " MB of host memory for copies to the GPU: use a smaller maxSide, a smaller maxBatch or fewer "
                      "labels");
    }
    return std::shared_ptr<std::byte>(static_cast<std::byte*>(memory), [gpu](std::byte* p) {
      gpu->functions_.use_gpu(gpu->index_);  // else a thread without a selected GPU would create a context on GPU 0
      gpu->functions_.release_pinned(p);
    });
  };
  return source;
}

void Gpu::use() const { check(functions_.use_gpu(index_), "selecting the GPU"); }
void Gpu::wait() const { check(functions_.wait(stream_), "queued work"); }

Event Gpu::create_event() const {
  Event event = nullptr;
  check(functions_.create_event(&event), "creating an event");
  return event;
}
void Gpu::destroy_event(Event event) const noexcept { functions_.destroy_event(event); }
void Gpu::record(Event event) const { check(try_record(event), "recording an event"); }
int Gpu::try_record(Event event) const noexcept { return functions_.record(event, stream_); }

double Gpu::seconds_between(Event first, Event second) const {
  double seconds = 0;
  check(functions_.seconds_between(first, second, &seconds), "reading the time between events");
  return seconds;
}

}  // namespace clip_es::cuda
