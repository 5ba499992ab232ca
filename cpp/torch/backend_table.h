// The functions behind Backend: LibTorch's for CUDA, and those for the CPU that take the same arguments. Only this folder includes it.
#pragma once
#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cpu.h>
#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cuda.h>

#include "torch/table.h"

namespace clip_es::torch {

// Every CUDA build of LibTorch from 2.11 on has these in libtorch_cuda.so. The guard's are declared here, as the headers of a CPU-only
// build leave them out; a guard is an opaque pointer.
using CreateStreamGuard = AOTITorchError(void* stream, int32_t device_index, void** guard);
using DeleteStreamGuard = AOTITorchError(void* guard);
#define CLIP_ES_TORCH_CUDA_FUNCTIONS(X)                                                  \
  X(addmm_out, decltype(::aoti_torch_cuda_addmm_out), "aoti_torch_cuda_addmm_out")       \
  X(mm_out, decltype(::aoti_torch_cuda_mm_out), "aoti_torch_cuda_mm_out")                \
  X(bmm_out, decltype(::aoti_torch_cuda_bmm_out), "aoti_torch_cuda_bmm_out")             \
  X(baddbmm_out, decltype(::aoti_torch_cuda_baddbmm_out), "aoti_torch_cuda_baddbmm_out") \
  X(cuda_attention, decltype(::aoti_torch_cuda__scaled_dot_product_flash_attention),     \
    "aoti_torch_cuda__scaled_dot_product_flash_attention")                               \
  X(create_guard, CreateStreamGuard, "aoti_torch_create_cuda_stream_guard")              \
  X(delete_guard, DeleteStreamGuard, "aoti_torch_delete_cuda_stream_guard")

// For the CPU, whose attention has other arguments, and which has no streams.
using CpuAttention = decltype(::aoti_torch_cpu__scaled_dot_product_flash_attention_for_cpu);

struct BackendTable {
#define X(member, type, name) std::add_pointer_t<type> member = nullptr;
  CLIP_ES_TORCH_CUDA_FUNCTIONS(X)
#undef X
  CpuAttention* cpu_attention = nullptr;
  // From libtorch_cpu.so, for both.
  decltype(&::aoti_torch_get_data_ptr) get_data_ptr = nullptr;
  decltype(&::aoti_torch_get_strides) get_strides = nullptr;
  int32_t device_type = 0;
};

}  // namespace clip_es::torch
