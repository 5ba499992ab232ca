// One GPU: its memory, its queue of work, its kernels and LibTorch's products on it, with errors as ours.
#pragma once
#include <memory>
#include <span>
#include <string>

#include "core/arena.h"
#include "ops/cuda/kernels.h"
#include "torch/backend.h"

namespace clip_es::cuda {

// Throws Error kDeviceUnavailable where no driver answers, there is no GPU of this number, or it is too old.
void check_gpu(const Functions&, int index);

class Gpu {
 public:
  // Loads libclip_es_cuda from beside this program or add-on, and LibTorch's CUDA part. Throws Error kDeviceUnavailable: a CPU-only
  // LibTorch, no libclip_es_cuda, no driver or GPU, no GPU of this number, one that is too old.
  static std::shared_ptr<Gpu> open(int index);
  // For tests: any table of functions with any LibTorch.
  Gpu(const Functions&, torch::Backend, int index);
  ~Gpu();
  Gpu(const Gpu&) = delete;
  Gpu& operator=(const Gpu&) = delete;

  int index() const { return index_; }
  const GpuProperties& properties() const { return properties_; }
  const torch::Backend& torch() const { return torch_; }
  Stream stream() const { return stream_; }
  // Whose memory keeps the Gpu alive.
  static MemorySource memory(const std::shared_ptr<Gpu>&);
  static MemorySource pinned_memory(const std::shared_ptr<Gpu>&);  // the host's, for copies that do not wait
  std::shared_ptr<Gpu> beside() const { return std::make_shared<Gpu>(functions_, torch_, index_); }  // another queue on the same GPU

  // Makes this the GPU of the calling thread, once before anything else there.
  void use() const;
  void wait() const;

  // Pinned memory must stay as it is until wait(); of other memory the copy is made at once.
  template <class T>
  void copy_in(std::span<const T> host, T* to) const {
    check(functions_.copy_in(stream_, host.data(), host.size_bytes(), to), "a copy to the GPU");
  }
  // Into pinned memory, which holds it after wait().
  void queue_copy_out(const void* from, size_t bytes, void* pinned) const {
    check(functions_.copy_out(stream_, from, bytes, pinned), "a copy from the GPU");
  }
  template <class T>
  void copy_out(const T* from, int64_t count, T* host) const {  // waits
    queue_copy_out(from, static_cast<size_t>(count) * sizeof(T), host);
    wait();
  }
  void copy(const void* from, size_t bytes, void* to) const {  // within the GPU's memory
    check(functions_.copy(stream_, from, bytes, to), "a copy within the GPU");
  }
  template <class T>
  void clear(T* memory, int64_t count) const {
    check(functions_.clear(stream_, memory, static_cast<size_t>(count) * sizeof(T)), "clearing memory");
  }

  Event create_event() const;
  void destroy_event(Event) const;
  void record(Event) const;
  double seconds_between(Event first, Event second) const;  // both done

#define X(name, Arguments) \
  void name(const Arguments& in) const { check(functions_.name(stream_, in), #name); }
  CLIP_ES_CUDA_KERNELS(X)
#undef X

 private:
  void check(int error, const char* what) const;

  const Functions& functions_;
  torch::Backend torch_;
  int index_;
  GpuProperties properties_{};
  Stream stream_ = nullptr;
};

}  // namespace clip_es::cuda
