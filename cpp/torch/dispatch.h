// Operators by name, for those that have no C function. Only the files of this folder include it.
#pragma once
#include <cstring>
#include <span>

#include "torch/table.h"

namespace clip_es::torch {

inline bool has_dispatcher() { return torch_call_dispatcher && aoti_torch_new_tensor_handle && aoti_torch_get_data_ptr; }

// Calls an operator of tensors whose further arguments, `missing` of them, are left at none; -> its first result.
inline Tensor call_operator(const char* name, std::span<const AtenTensorHandle> tensors, int missing = 0) {
  constexpr size_t kSlots = 10;  // the callee clears more slots than it was given arguments
  if (tensors.size() + static_cast<size_t>(missing) > kSlots) throw Error(ErrorCode::kLibTorch, std::string(name) + ": too many arguments");
  uint64_t stack[kSlots] = {};
  for (size_t i = 0; i < tensors.size(); ++i) {
    AtenTensorHandle own = nullptr;  // the callee's
    check(aoti_torch_new_tensor_handle(tensors[i], &own), "aoti_torch_new_tensor_handle");
    std::memcpy(&stack[i], &own, sizeof own);
  }
  check(torch_call_dispatcher(name, "", stack, aoti_torch_abi_version()), name);
  AtenTensorHandle result = nullptr;
  std::memcpy(&result, &stack[0], sizeof result);
  return Tensor(result);
}

}  // namespace clip_es::torch
