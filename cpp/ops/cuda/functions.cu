// The table of functions.h: wrappers of the CUDA runtime, and the kernels.
#include "ops/cuda/common.cuh"

namespace clip_es::cuda {

#define X(name, Arguments) int name(Stream, const Arguments&);
CLIP_ES_CUDA_KERNELS(X)
#undef X

namespace {

cudaStream_t as_stream(Stream stream) { return static_cast<cudaStream_t>(stream); }
cudaEvent_t as_event(Event event) { return static_cast<cudaEvent_t>(event); }

const char* error_text(int error) { return cudaGetErrorString(static_cast<cudaError_t>(error)); }
bool is_out_of_memory(int error) { return error == cudaErrorMemoryAllocation; }

// Clears the last error of the CUDA runtime and returns it, so that the next call does not return it again.
int take(cudaError_t error) {
  if (error) cudaGetLastError();
  return error;
}

int gpu_count(int* count) { return take(cudaGetDeviceCount(count)); }

int gpu_properties(int index, GpuProperties* out) {
  cudaDeviceProp properties;
  if (const cudaError_t error = cudaGetDeviceProperties(&properties, index)) return take(error);
  static_assert(sizeof out->name == sizeof properties.name);
  for (size_t i = 0; i < sizeof out->name; ++i) out->name[i] = properties.name[i];
  out->major = properties.major;
  out->minor = properties.minor;
  out->memory = properties.totalGlobalMem;
  return cudaSuccess;
}

int use_gpu(int index) { return take(cudaSetDevice(index)); }
int allocate(size_t bytes, void** memory) { return take(cudaMalloc(memory, bytes)); }
int release(void* memory) { return take(cudaFree(memory)); }
int allocate_pinned(size_t bytes, void** memory) { return take(cudaHostAlloc(memory, bytes, cudaHostAllocPortable)); }
int release_pinned(void* memory) { return take(cudaFreeHost(memory)); }

int create_stream(Stream* stream) {
  cudaStream_t created = nullptr;
  const cudaError_t error = cudaStreamCreateWithFlags(&created, cudaStreamNonBlocking);
  *stream = created;
  return take(error);
}
int destroy_stream(Stream stream) { return take(cudaStreamDestroy(as_stream(stream))); }
int wait(Stream stream) { return take(cudaStreamSynchronize(as_stream(stream))); }

int create_event(Event* event) {
  cudaEvent_t created = nullptr;
  const cudaError_t error = cudaEventCreate(&created);
  *event = created;
  return take(error);
}
int destroy_event(Event event) { return take(cudaEventDestroy(as_event(event))); }
int record(Event event, Stream stream) { return take(cudaEventRecord(as_event(event), as_stream(stream))); }

int seconds_between(Event first, Event second, double* seconds) {
  float milliseconds = 0;
  const cudaError_t error = cudaEventElapsedTime(&milliseconds, as_event(first), as_event(second));
  *seconds = milliseconds / 1e3;
  return take(error);
}

int clear(Stream stream, void* memory, size_t bytes) { return take(cudaMemsetAsync(memory, 0, bytes, as_stream(stream))); }

int copy(Stream stream, const void* from, size_t bytes, void* to) {
  return take(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, as_stream(stream)));
}

int copy_in(Stream stream, const void* host, size_t bytes, void* to) {
  return take(cudaMemcpyAsync(to, host, bytes, cudaMemcpyHostToDevice, as_stream(stream)));
}

int copy_out(Stream stream, const void* from, size_t bytes, void* host) {
  return take(cudaMemcpyAsync(host, from, bytes, cudaMemcpyDeviceToHost, as_stream(stream)));
}

}  // namespace

extern "C" __attribute__((visibility("default"))) const Functions* clip_es_cuda_functions(int version) {
#define X(name, Arguments) , name
  static const Functions functions{error_text,     is_out_of_memory,
                                   gpu_count,      gpu_properties,
                                   use_gpu,        allocate,
                                   release,        allocate_pinned,
                                   release_pinned, create_stream,
                                   destroy_stream, wait,
                                   create_event,   destroy_event,
                                   record,         seconds_between,
                                   clear,          copy,
                                   copy_in,        copy_out CLIP_ES_CUDA_KERNELS(X)};
#undef X
  return version == kVersion ? &functions : nullptr;
}

}  // namespace clip_es::cuda
