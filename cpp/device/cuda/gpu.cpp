#include "device/cuda/gpu.h"

#include <dlfcn.h>

#include <cstdio>

#include "core/error.h"

namespace clip_es::cuda {
namespace {

constexpr int kOldestMajor = 8;  // Ampere: bfloat16 on tensor cores
constexpr const char* kFile = "libclip_es_cuda.so";

[[noreturn]] void unavailable(int index, const std::string& what) {
  throw Error(ErrorCode::kDeviceUnavailable,
              "device 'cuda:" + std::to_string(index) + "' cannot be used: " + what + ", or use device 'cpu'");
}

// The folder of the program or add-on that this code is part of.
std::string own_folder() {
  Dl_info info{};
  if (!dladdr(reinterpret_cast<const void*>(&own_folder), &info) || !info.dli_fname) return ".";
  const std::string file = info.dli_fname;
  const size_t slash = file.rfind('/');
  return slash == std::string::npos ? "." : file.substr(0, slash);
}

const Functions& load_functions(int index) {
  const std::string file = own_folder() + "/" + kFile;
  void* library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library)
    unavailable(index, std::string("its kernels do not load (") + dlerror() +
                           "); build them where CUDA's nvcc is: CLIP_ES_CUDA=ON npx clip-es setup --build");
  const auto entry = reinterpret_cast<decltype(&clip_es_cuda_functions)>(dlsym(library, "clip_es_cuda_functions"));
  const Functions* functions = entry ? entry(kVersion) : nullptr;
  if (!functions) unavailable(index, file + " was built from another version; build it again");
  return *functions;
}

}  // namespace

void check_gpu(const Functions& functions, int index) {
  int count = 0;
  if (const int error = functions.gpu_count(&count))
    unavailable(index, std::string("no NVIDIA driver answers (") + functions.error_text(error) + "); install or update it");
  if (count == 0) unavailable(index, "there is no NVIDIA GPU");
  if (index >= count)
    unavailable(index, "there " +
                           (count == 1 ? std::string("is 1 GPU, cuda:0")
                                       : "are " + std::to_string(count) + " GPUs, cuda:0 to cuda:" + std::to_string(count - 1)) +
                           "; use one of these");
  GpuProperties properties;
  if (const int error = functions.gpu_properties(index, &properties)) unavailable(index, functions.error_text(error));
  if (properties.major < kOldestMajor)
    unavailable(index, std::string(properties.name) + " has compute capability " + std::to_string(properties.major) + "." +
                           std::to_string(properties.minor) + "; 8.0 (Ampere) or newer is needed");
}

std::shared_ptr<Gpu> Gpu::open(int index) {
  // What is quick to find out comes first: LibTorch's CUDA part takes seconds to load.
  if (torch::cuda_library_file().empty())
    unavailable(index,
                "the LibTorch in use computes on the CPU alone (it has no libtorch_cuda.so); npx clip-es setup --cuda fetches a "
                "CUDA build, or set CLIP_ES_LIBTORCH to one");
  const Functions& functions = load_functions(index);
  check_gpu(functions, index);
  return std::make_shared<Gpu>(functions, torch::Backend::cuda(index), index);
}

Gpu::Gpu(const Functions& functions, torch::Backend backend, int index) : functions_(functions), torch_(backend), index_(index) {
  use();
  check(functions_.gpu_properties(index, &properties_), "asking for its properties");
  check(functions_.create_stream(&stream_), "a stream");
}

Gpu::~Gpu() {
  functions_.use_gpu(index_);
  functions_.destroy_stream(stream_);
}

void Gpu::check(int error, const char* what) const {
  if (!error) return;
  const std::string gpu = "cuda:" + std::to_string(index_);
  if (functions_.is_out_of_memory(error))
    throw Error(ErrorCode::kOutOfMemory, gpu +
                                             "'s memory is used up: a smaller maxSide, fewer labels or a smaller model needs less; so does "
                                             "ending other programs on it");
  throw Error(ErrorCode::kDeviceUnavailable, std::string(what) + " failed on " + gpu + ": " + functions_.error_text(error));
}

MemorySource Gpu::memory(const std::shared_ptr<Gpu>& gpu) {
  const auto allocate = [gpu](size_t bytes) {
    void* memory = nullptr;
    gpu->use();
    if (const int error = gpu->functions_.allocate(bytes, &memory)) {
      char size[64];
      std::snprintf(size, sizeof size, "%.1f GB", static_cast<double>(bytes) / 1e9);
      if (!gpu->functions_.is_out_of_memory(error)) gpu->check(error, "an allocation");
      throw Error(ErrorCode::kOutOfMemory,
                  std::string(size) + " of cuda:" + std::to_string(gpu->index_) +
                      "'s memory are needed at once and cannot be had: a smaller maxSide, fewer labels or a smaller "
                      "model needs less; so does ending other programs on it");
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
      if (!gpu->functions_.is_out_of_memory(error)) gpu->check(error, "pinning memory");
      throw Error(ErrorCode::kOutOfMemory, std::to_string(bytes >> 20) +
                                               " MB of the machine's memory cannot be pinned for copies to the GPU: a smaller maxSide or "
                                               "maxBatch, or fewer labels, need less");
    }
    return std::shared_ptr<std::byte>(static_cast<std::byte*>(memory), [gpu](std::byte* p) { gpu->functions_.release_pinned(p); });
  };
  return source;
}

void Gpu::use() const { check(functions_.use_gpu(index_), "choosing the GPU"); }
void Gpu::wait() const { check(functions_.wait(stream_), "work"); }

Event Gpu::create_event() const {
  Event event = nullptr;
  check(functions_.create_event(&event), "an event");
  return event;
}
void Gpu::destroy_event(Event event) const { functions_.destroy_event(event); }
void Gpu::record(Event event) const { check(functions_.record(event, stream_), "an event"); }

double Gpu::seconds_between(Event first, Event second) const {
  double seconds = 0;
  check(functions_.seconds_between(first, second, &seconds), "reading the time");
  return seconds;
}

}  // namespace clip_es::cuda
