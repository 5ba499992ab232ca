// LibTorch's matrix products and attention on one device, on plain pointers to that device's memory. Everything is queued on the stream
// of the Guard in force; nothing waits.
#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <string>

namespace clip_es::torch {

enum class Dtype { kFloat32, kBFloat16 };

// A batch of matrices: element (b, i, j) at data[b * batch_stride + i * row_stride + j * column_stride], strides in elements.
struct Batch {
  const void* data;
  Dtype dtype;
  int64_t batches, rows, columns, batch_stride, row_stride, column_stride;
};

inline Batch dense(const void* data, Dtype dtype, int64_t rows, int64_t columns) {
  return {data, dtype, 1, rows, columns, rows * columns, columns, 1};
}
inline Batch transposed(const Batch& b) {
  return {b.data, b.dtype, b.batches, b.columns, b.rows, b.batch_stride, b.column_stride, b.row_stride};
}

struct BackendTable;  // its functions

class Backend {
 public:
  // Opens libtorch_cuda.so beside the LibTorch that is loaded. Throws Error kDeviceUnavailable: a CPU-only LibTorch, or CUDA libraries of
  // it that do not load.
  static Backend cuda(int index);
  // The same calls on the machine's memory, for tests of what is written for a GPU.
  static Backend host();

  // Makes `stream` the one that this thread's calls queue on, for the guard's life.
  class Guard {
   public:
    Guard(const Backend&, void* stream);
    ~Guard();
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;

   private:
    const Backend& backend_;
    void* guard_ = nullptr;
  };

  // out = a b of one batch each, or, with `bias` (out.columns), a b + bias.
  void mm(const Batch& a, const Batch& b, const Batch& out, const void* bias = nullptr) const;
  // out = a b, batch by batch; with `add` out += a b.
  void bmm(const Batch& a, const Batch& b, const Batch& out, bool add = false) const;

  // Flash attention in bfloat16 of images of n tokens each, one behind the other: qkv (images * n, 3 width) as in ops::AttentionInput. The
  // results are LibTorch's own memory, there for what is queued on the stream until the handle ends.
  struct Attended {
    std::shared_ptr<void> handle;
    const void* out;           // (images * n, width), bfloat16
    const float* log_sum_exp;  // of image b, head h and query i: [b * image_stride + h * head_stride + i * row_stride]
    int64_t image_stride, head_stride, row_stride;
  };
  Attended attention(const void* qkv, int64_t images, int64_t n, int64_t width, int64_t heads) const;

 private:
  Backend(const BackendTable& table, int32_t index) : table_(&table), index_(index) {}

  const BackendTable* table_;
  int32_t index_;  // of the device
};

// The file that holds the CUDA functions of the LibTorch that is loaded, or "" when it is a CPU-only one.
std::string cuda_library_file();

}  // namespace clip_es::torch
