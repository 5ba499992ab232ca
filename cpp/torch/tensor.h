// Errors and handles of LibTorch's C functions. Only the files of this folder include it.
#pragma once
#include <array>
#include <span>
#include <string>
#include <utility>

#include "core/error.h"
#include "torch/c_functions.h"

namespace clip_es::torch {

// Throws Error kLibTorch if a C function failed.
inline void check(Status status, const char* function) {
  if (status == 0) return;
  const char* what = torch_exception_get_what_without_backtrace ? torch_exception_get_what_without_backtrace()
                                                                : "LibTorch gives no details before version 2.13";
  throw Error(ErrorCode::kLibTorch, std::string(function) + " failed: " + what);
}

// Owns one handle, or none.
class Tensor {
 public:
  explicit Tensor(TensorHandle handle) : handle_(handle) {}
  Tensor(Tensor&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Tensor& operator=(Tensor&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~Tensor() {
    if (handle_) aoti_torch_delete_tensor_object(handle_);
  }
  TensorHandle get() const { return handle_; }

 private:
  TensorHandle handle_;
};

// A view of memory that the caller owns, which must outlive the tensor. Sizes and strides are in elements.
inline Tensor wrap(const void* data, int32_t dtype, int32_t device_type, int32_t device_index, std::span<const int64_t> sizes,
                   std::span<const int64_t> strides) {
  constexpr const char* kFunction = "aoti_torch_create_tensor_from_blob_v2";
  TensorHandle handle = nullptr;
  check(aoti_torch_create_tensor_from_blob_v2(const_cast<void*>(data), std::ssize(sizes), sizes.data(), strides.data(), 0, dtype,
                                              device_type, device_index, &handle, aoti_torch_layout_strided(), nullptr, 0),
        kFunction);
  // LibTorch 2.13 reports success without a handle for a GPU that it cannot use.
  if (!handle) throw Error(ErrorCode::kLibTorch, std::string(kFunction) + " reported success but gave no tensor");
  return Tensor(handle);
}

// A matrix in host memory.
inline Tensor wrap_matrix(const void* data, int32_t dtype, std::array<int64_t, 2> sizes, std::array<int64_t, 2> strides) {
  return wrap(data, dtype, aoti_torch_device_type_cpu(), 0, sizes, strides);
}

}  // namespace clip_es::torch
