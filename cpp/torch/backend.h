// LibTorch's matrix products and attention on one device. Pointers are addresses in that device's memory. On a GPU the work is queued on
// the stream of the current Guard, and no function waits for it.
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

struct BackendTable;

class Backend {
 public:
  // Opens libtorch_cuda.so of the loaded LibTorch. Throws Error kDeviceUnavailable if it is a CPU build or its CUDA libraries cannot be
  // loaded.
  static Backend cuda(int index);
  // The same functions in host memory, for tests of the code for GPUs. Throws Error kLibTorch if no LibTorch is loaded.
  static Backend host();
  // Other functions, which must outlive every copy of the Backend: for tests and estimates. index: the device's number.
  Backend(const BackendTable& table, int32_t index) : table_(&table), index_(index) {}

  // While a Guard exists, the work of the calling thread is queued on `stream`.
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

  // out = a b, or a b + bias if there is a bias (out.columns). a, b and out have one batch. On a GPU the product of bfloat16 matrices may
  // be float32, without a bias. In all other cases out has the type of a and b.
  void mm(const Batch& a, const Batch& b, const Batch& out, const void* bias = nullptr) const;
  // For each batch: out = a b, or out += a b with `add`. All have the same type.
  void bmm(const Batch& a, const Batch& b, const Batch& out, bool add = false) const;

  // Flash attention in bfloat16. All images have n tokens; qkv (images * n, 3 width) is as in ops::AttentionInput. LibTorch owns the
  // results: they are valid for work that is queued on the stream while `handle` lives.
  struct Attended {
    std::shared_ptr<void> handle;
    const void* out;           // (images * n, width), bfloat16
    const float* log_sum_exp;  // image b, head h, query i: [b * image_stride + h * head_stride + i * row_stride]
    int64_t image_stride, head_stride, row_stride;
  };
  Attended attention(const void* qkv, int64_t images, int64_t n, int64_t width, int64_t heads) const;

 private:
  const BackendTable* table_;
  int32_t index_;
};

// The path of the loaded LibTorch's libtorch_cuda.so; "" for a CPU build and without a LibTorch.
std::string cuda_library_file();

}  // namespace clip_es::torch
