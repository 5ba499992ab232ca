// Calls operators that have no C function by their name.
#pragma once
#include <cstring>
#include <span>

#include "torch/tensor.h"

namespace clip_es::torch {

inline bool has_dispatcher() { return torch_call_dispatcher && aoti_torch_new_tensor_handle; }

// Calls an operator whose first arguments are tensors and whose next `missing` arguments are left empty. Returns its first result.
inline Tensor call_operator(const char* name, std::span<const TensorHandle> tensors, int missing = 0) {
  constexpr size_t kSlots = 10;  // LibTorch clears more slots than the operator has arguments
  if (tensors.size() + static_cast<size_t>(missing) > kSlots)
    throw Error(ErrorCode::kLibTorch, std::string(name) + " was called with more than " + std::to_string(kSlots) + " arguments");
  StackSlot stack[kSlots] = {};
  for (size_t i = 0; i < tensors.size(); ++i) {
    TensorHandle own = nullptr;  // the operator frees it
    check(aoti_torch_new_tensor_handle(tensors[i], &own), "aoti_torch_new_tensor_handle");
    std::memcpy(&stack[i], &own, sizeof own);
  }
  check(torch_call_dispatcher(name, "", stack, aoti_torch_abi_version()), name);
  TensorHandle result = nullptr;
  std::memcpy(&result, &stack[0], sizeof result);
  return Tensor(result);
}

}  // namespace clip_es::torch
