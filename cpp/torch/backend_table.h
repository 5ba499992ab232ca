// The functions behind Backend: LibTorch's products for one type of device. Only this folder, tests and estimates include it.
#pragma once
#include "torch/backend.h"
#include "torch/c_functions.h"

namespace clip_es::torch {

struct BackendTable {
  int32_t device_type = 0;
  AddmmOut* addmm_out = nullptr;
  MmOut* mm_out = nullptr;
  MmDtypeOut* mm_dtype_out = nullptr;  // CUDA only: a float32 product of bfloat16 matrices
  MmOut* bmm_out = nullptr;
  AddmmOut* baddbmm_out = nullptr;
  // One of these two, because their arguments differ.
  CudaAttention* cuda_attention = nullptr;
  CpuAttention* cpu_attention = nullptr;
  // CUDA only.
  Status (*create_guard)(void* stream, int32_t device_index, StreamGuardHandle*) = nullptr;
  Status (*delete_guard)(StreamGuardHandle) = nullptr;
  // An estimate sets only these two. They are called instead of all functions above, so no LibTorch is needed.
  void (*record_product)(const Batch& a, const Batch& b, const Batch& out, const void* bias) = nullptr;
  Backend::Attended (*record_attention)(int64_t images, int64_t n, int64_t width, int64_t heads) = nullptr;
};

}  // namespace clip_es::torch
