// The table of LibTorch's C functions. Only the files of this folder include it.
#pragma once
#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cpu.h>
#include <torch/csrc/stable/c/shim.h>

#include <array>
#include <utility>

#include "core/error.h"

namespace clip_es::torch {

// Every LibTorch from 2.11 on has these.
#define CLIP_ES_TORCH_FUNCTIONS(X)         \
  X(aoti_torch_abi_version)                \
  X(aoti_torch_device_type_cpu)            \
  X(aoti_torch_dtype_float32)              \
  X(aoti_torch_dtype_bfloat16)             \
  X(aoti_torch_layout_strided)             \
  X(aoti_torch_grad_mode_set_enabled)      \
  X(aoti_torch_create_tensor_from_blob_v2) \
  X(aoti_torch_delete_tensor_object)       \
  X(aoti_torch_cpu_addmm_out)              \
  X(aoti_torch_cpu_mm_out)

#define X(name) inline decltype(&::name) name = nullptr;
CLIP_ES_TORCH_FUNCTIONS(X)
#undef X

// For operators by name, and weights packed by oneDNN, which a LibTorch may have been built without. The operators' schemas are not
// promised: see packed_weight.cpp. Declared here as far as headers hide them behind build options.
#define CLIP_ES_OPTIONAL_TORCH_FUNCTIONS(X) \
  X(torch_call_dispatcher)                  \
  X(aoti_torch_new_tensor_handle)           \
  X(aoti_torch_get_data_ptr)                \
  X(aoti_torch_dtype_int8)                  \
  X(aoti_torch_cpu__linear_pointwise)

inline AOTITorchError (*torch_call_dispatcher)(const char* name, const char* overload, uint64_t* stack, uint64_t abi_version) = nullptr;
inline decltype(&::aoti_torch_new_tensor_handle) aoti_torch_new_tensor_handle = nullptr;
inline decltype(&::aoti_torch_get_data_ptr) aoti_torch_get_data_ptr = nullptr;
inline decltype(&::aoti_torch_dtype_int8) aoti_torch_dtype_int8 = nullptr;
inline AOTITorchError (*aoti_torch_cpu__linear_pointwise)(AtenTensorHandle x, AtenTensorHandle packed, AtenTensorHandle* bias,
                                                          const char* activation, const double** scalars, int64_t scalar_count,
                                                          const char** algorithm, AtenTensorHandle* result) = nullptr;

// From 2.13 on: what an error was, not only that there was one. Declared here so that older headers serve, too.
inline const char* (*torch_exception_get_what_without_backtrace)() = nullptr;

// Turns a C function's error code into ours.
inline void check(AOTITorchError code, const char* function) {
  if (code == AOTI_TORCH_SUCCESS) return;
  const char* what =
      torch_exception_get_what_without_backtrace ? torch_exception_get_what_without_backtrace() : "no details before LibTorch 2.13";
  throw Error(ErrorCode::kLibTorch, std::string(function) + " failed: " + what);
}

// Owns one handle.
class Tensor {
 public:
  explicit Tensor(AtenTensorHandle handle) : handle_(handle) {}
  Tensor(Tensor&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Tensor& operator=(Tensor&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~Tensor() {
    if (handle_) aoti_torch_delete_tensor_object(handle_);
  }
  AtenTensorHandle get() const { return handle_; }

 private:
  AtenTensorHandle handle_;
};

// A matrix in our memory as LibTorch sees it; it must outlive the tensor.
inline Tensor wrap_matrix(void* data, int32_t dtype, std::array<int64_t, 2> sizes, std::array<int64_t, 2> strides) {
  AtenTensorHandle handle;
  check(aoti_torch_create_tensor_from_blob_v2(data, 2, sizes.data(), strides.data(), 0, dtype, aoti_torch_device_type_cpu(), 0, &handle,
                                              aoti_torch_layout_strided(), nullptr, 0),
        "aoti_torch_create_tensor_from_blob_v2");
  return Tensor(handle);
}

}  // namespace clip_es::torch
