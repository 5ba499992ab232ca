// The C functions of LibTorch that the engine calls. They are declared here, so no LibTorch is needed to build the engine. library.cpp and
// backend.cpp find them with dlsym. They belong to LibTorch's stable interface, which does not change.
// test/cpp/libtorch_declarations_test.cpp compares these declarations with the headers of a LibTorch. Only this folder and tests include
// this file.
#pragma once
#include <cstdint>
#include <type_traits>

struct AtenTensorOpaque;
struct CUDAStreamGuardOpaque;

namespace clip_es::torch {

using Status = int32_t;  // 0 is success
using TensorHandle = AtenTensorOpaque*;
using StreamGuardHandle = CUDAStreamGuardOpaque*;

// An argument or result of an operator that is called by its name.
using StackSlot = uint64_t;

using AddmmOut = Status(TensorHandle out, TensorHandle added, TensorHandle a, TensorHandle b, double beta, double alpha);
using MmOut = Status(TensorHandle out, TensorHandle a, TensorHandle b);
using MmDtypeOut = Status(TensorHandle out, TensorHandle a, TensorHandle b, int32_t out_dtype);
using CreateTensorFromBlob = Status(void* data, int64_t dimensions, const int64_t* sizes, const int64_t* strides, int64_t offset,
                                    int32_t dtype, int32_t device_type, int32_t device_index, TensorHandle* result, int32_t layout,
                                    const uint8_t* metadata, int64_t metadata_size);
using LinearPointwise = Status(TensorHandle x, TensorHandle packed, TensorHandle* bias, const char* activation, const double** scalars,
                               int64_t scalar_count, const char** algorithm, TensorHandle* result);
using CpuAttention = Status(TensorHandle query, TensorHandle key, TensorHandle value, double dropout, int32_t causal, TensorHandle* mask,
                            double* scale, TensorHandle* out, TensorHandle* log_sum_exp);
using CudaAttention = Status(TensorHandle query, TensorHandle key, TensorHandle value, double dropout, int32_t causal, int32_t debug_mask,
                             double* scale, TensorHandle* out, TensorHandle* log_sum_exp, TensorHandle* query_ends, TensorHandle* key_ends,
                             int64_t* longest_query, int64_t* longest_key, TensorHandle* seed, TensorHandle* unused, TensorHandle* mask);

// X(name, type). Every libtorch_cpu.so from 2.11 on has these.
#define CLIP_ES_TORCH_FUNCTIONS(X)                                \
  X(aoti_torch_abi_version, uint64_t())                           \
  X(aoti_torch_device_type_cpu, int32_t())                        \
  X(aoti_torch_dtype_float32, int32_t())                          \
  X(aoti_torch_dtype_bfloat16, int32_t())                         \
  X(aoti_torch_layout_strided, int32_t())                         \
  X(aoti_torch_grad_mode_set_enabled, void(bool))                 \
  X(aoti_torch_create_tensor_from_blob_v2, CreateTensorFromBlob)  \
  X(aoti_torch_delete_tensor_object, Status(TensorHandle))        \
  X(aoti_torch_get_data_ptr, Status(TensorHandle, void** result)) \
  X(aoti_torch_get_strides, Status(TensorHandle, int64_t** result))

// A LibTorch may lack these: it can be built without oneDNN, and only 2.13 and newer have the function that returns the text of an error.
#define CLIP_ES_TORCH_OPTIONAL_FUNCTIONS(X)                                                                               \
  X(torch_call_dispatcher, Status(const char* name, const char* overload, StackSlot* stack, uint64_t caller_abi_version)) \
  X(aoti_torch_new_tensor_handle, Status(TensorHandle, TensorHandle* result))                                             \
  X(aoti_torch_dtype_int8, int32_t())                                                                                     \
  X(aoti_torch_device_type_cuda, int32_t())                                                                               \
  X(aoti_torch_cpu__linear_pointwise, LinearPointwise)                                                                    \
  X(torch_exception_get_what_without_backtrace, const char*())

// The products of libtorch_cpu.so.
#define CLIP_ES_TORCH_HOST_FUNCTIONS(X)   \
  X(aoti_torch_cpu_addmm_out, AddmmOut)   \
  X(aoti_torch_cpu_mm_out, MmOut)         \
  X(aoti_torch_cpu_bmm_out, MmOut)        \
  X(aoti_torch_cpu_baddbmm_out, AddmmOut) \
  X(aoti_torch_cpu__scaled_dot_product_flash_attention_for_cpu, CpuAttention)

// The products of libtorch_cuda.so, and the guard that chooses the stream they are queued on.
#define CLIP_ES_TORCH_CUDA_FUNCTIONS(X)                                                                         \
  X(aoti_torch_cuda_addmm_out, AddmmOut)                                                                        \
  X(aoti_torch_cuda_mm_out, MmOut)                                                                              \
  X(aoti_torch_cuda_mm_dtype_out, MmDtypeOut)                                                                   \
  X(aoti_torch_cuda_bmm_out, MmOut)                                                                             \
  X(aoti_torch_cuda_baddbmm_out, AddmmOut)                                                                      \
  X(aoti_torch_cuda__scaled_dot_product_flash_attention, CudaAttention)                                         \
  X(aoti_torch_create_cuda_stream_guard, Status(void* stream, int32_t device_index, StreamGuardHandle* result)) \
  X(aoti_torch_delete_cuda_stream_guard, Status(StreamGuardHandle))

// Null until load_library() has succeeded; the optional ones may stay null.
#define X(name, ...) inline std::add_pointer_t<__VA_ARGS__> name = nullptr;
CLIP_ES_TORCH_FUNCTIONS(X)
CLIP_ES_TORCH_OPTIONAL_FUNCTIONS(X)
#undef X

}  // namespace clip_es::torch
