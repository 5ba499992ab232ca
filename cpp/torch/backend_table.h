// The functions behind Backend: LibTorch's products for one type of device. Only this folder includes it.
#pragma once
#include "torch/c_functions.h"

namespace clip_es::torch {

struct BackendTable {
  int32_t device_type = 0;
  AddmmOut* addmm_out = nullptr;
  MmOut* mm_out = nullptr;
  MmOut* bmm_out = nullptr;
  AddmmOut* baddbmm_out = nullptr;
  // One of these two, because their arguments differ.
  CudaAttention* cuda_attention = nullptr;
  CpuAttention* cpu_attention = nullptr;
  // CUDA only.
  Status (*create_guard)(void* stream, int32_t device_index, StreamGuardHandle*) = nullptr;
  Status (*delete_guard)(StreamGuardHandle) = nullptr;
};

}  // namespace clip_es::torch
