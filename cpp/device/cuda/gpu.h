// One stream of a GPU: its memory, kernels and LibTorch's products. CUDA errors become clip_es::Error.
#pragma once
#include <memory>
#include <span>
#include <string>

#include "core/arena.h"
#include "ops/cuda/functions.h"
#include "torch/backend.h"

namespace clip_es::cuda {

// Throws Error kDeviceUnavailable if there is no driver, no GPU with this index, or if the GPU is older than compute capability 8.0.
void check_gpu(const Functions&, int index);

class Gpu {
 public:
  // Loads libclip_es_cuda.so from the folder of this program or add-on, and LibTorch's CUDA library. Throws Error kDeviceUnavailable if
  // either is missing, and what check_gpu throws.
  static std::shared_ptr<Gpu> open(int index);
  // Tests pass the emulator's functions and LibTorch's CPU backend.
  Gpu(const Functions&, torch::Backend, int index);
  ~Gpu();
  Gpu(const Gpu&) = delete;
  Gpu& operator=(const Gpu&) = delete;

  int index() const { return index_; }
  const GpuProperties& properties() const { return properties_; }
  const torch::Backend& torch() const { return torch_; }
  Stream stream() const { return stream_; }
  // Sources of memory. Each allocation keeps the Gpu alive until it is freed, on any thread.
  static MemorySource memory(const std::shared_ptr<Gpu>&);
  static MemorySource pinned_memory(const std::shared_ptr<Gpu>&);  // host memory for asynchronous copies
  // The same GPU with a stream of its own, for another thread.
  std::shared_ptr<Gpu> clone() const { return std::make_shared<Gpu>(functions_, torch_, index_); }

  // All functions below throw Error, unless they are noexcept: kOutOfMemory, or kDeviceUnavailable with CUDA's message. They queue work on
  // stream() and return at once, unless a comment says that they wait.

  // Selects this GPU for the calling thread. Call it on every thread before anything else.
  void use() const;
  // Blocks until all queued work is done. Throws the error of that work.
  void wait() const;

  // Do not change pinned memory before wait() has returned. Other host memory is read before copy_in returns.
  template <class T>
  void copy_in(std::span<const T> host, T* to) const {
    check(functions_.copy_in(stream_, host.data(), host.size_bytes(), to), "copying to the GPU");
  }
  // Copies into pinned memory, which holds the values after wait().
  void queue_copy_out(const void* from, size_t bytes, void* pinned) const {
    check(functions_.copy_out(stream_, from, bytes, pinned), "copying from the GPU");
  }
  // Copies into any host memory, and waits.
  template <class T>
  void copy_out(const T* from, int64_t count, T* host) const {
    queue_copy_out(from, count * sizeof(T), host);
    wait();
  }
  // Copies within device memory.
  void copy(const void* from, size_t bytes, void* to) const { check(functions_.copy(stream_, from, bytes, to), "copying within the GPU"); }
  // Sets memory to zero.
  template <class T>
  void clear(T* memory, int64_t count) const {
    check(functions_.clear(stream_, memory, count * sizeof(T)), "clearing memory");
  }

  // Events measure time on the stream: record() queues a time stamp. The caller owns events and destroys them.
  Event create_event() const;
  void destroy_event(Event) const noexcept;
  void record(Event) const;
  // The same for destructors: returns the CUDA error, 0 for success. Keep the first one, and pass it to check() later.
  int try_record(Event) const noexcept;
  // Both events must have been recorded, and wait() must have returned since.
  double seconds_between(Event first, Event second) const;

  // Throws Error if `error` is not 0. what: the action that failed, for the message "WHAT failed on cuda:0: ...".
  void check(int error, const char* what) const;

  // One function per kernel: see ops/cuda/kernels.h.
#define X(name, Arguments) \
  void name(const Arguments& in) const { check(functions_.name(stream_, in), #name); }
  CLIP_ES_CUDA_KERNELS(X)
#undef X

 private:
  const Functions& functions_;
  torch::Backend torch_;
  int index_;
  GpuProperties properties_{};
  Stream stream_ = nullptr;
};

}  // namespace clip_es::cuda
