// The functions that libclip_es_cuda.so offers the engine, as one table. The engine is compiled without CUDA: it loads the library with
// dlopen and gets the table from clip_es_cuda_functions.
//
// Rules for all functions, unless a comment says otherwise:
// - They return a cudaError_t as int; 0 is success. They never throw.
// - Pointers to memory are device memory of the GPU that use_gpu selected for the calling thread.
// - A function with a Stream queues its work on that stream and returns at once. An error of earlier work may be returned by any later
// call.
#pragma once
#include <cstddef>

#include "ops/cuda/kernels.h"

namespace clip_es::cuda {

using Stream = void*;  // cudaStream_t
using Event = void*;   // cudaEvent_t

struct GpuProperties {
  char name[256];
  int major, minor;  // compute capability
  size_t memory;     // bytes
};

// Increase it whenever Functions or an argument struct changes its layout: the library then refuses an engine built from other sources.
constexpr int kVersion = 10;

struct Functions {
  const char* (*error_text)(int error);
  bool (*is_out_of_memory)(int error);

  int (*gpu_count)(int* count);
  int (*gpu_properties)(int index, GpuProperties*);
  int (*use_gpu)(int index);  // selects the GPU of the calling thread

  int (*allocate)(size_t bytes, void** memory);         // aligned to 256 bytes
  int (*release)(void* memory);                         // waits for all queued work of the GPU
  int (*allocate_pinned)(size_t bytes, void** memory);  // host memory that the GPU can copy to and from while the host goes on
  int (*release_pinned)(void* memory);

  int (*create_stream)(Stream*);
  int (*destroy_stream)(Stream);
  int (*wait)(Stream);  // blocks until all work of the stream is done, and returns its error

  int (*create_event)(Event*);
  int (*destroy_event)(Event);
  int (*record)(Event, Stream);                                        // the event takes its time stamp when the stream reaches this point
  int (*seconds_between)(Event first, Event second, double* seconds);  // both recorded and reached: call wait() before

  int (*clear)(Stream, void* memory, size_t bytes);  // to zero
  int (*copy)(Stream, const void* from, size_t bytes, void* to);
  // Copies from and to the host. Pinned memory is read or written at any time until wait() returns. With other host memory, copy_in
  // returns after the host memory was read, and copy_out after it was written.
  int (*copy_in)(Stream, const void* host, size_t bytes, void* to);
  int (*copy_out)(Stream, const void* from, size_t bytes, void* host);

#define X(name, Arguments) int (*name)(Stream, const Arguments&);
  CLIP_ES_CUDA_KERNELS(X)
#undef X
};

// Returns null if `version` differs from the library's kVersion.
extern "C" const Functions* clip_es_cuda_functions(int version);

}  // namespace clip_es::cuda
