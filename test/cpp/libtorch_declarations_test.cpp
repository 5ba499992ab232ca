// Compares the declarations in torch/c_functions.h with the headers of LibTorch, at compile time. CMake defines CLIP_ES_LIBTORCH_HEADERS
// if the LibTorch in CLIP_ES_LIBTORCH has headers.
#ifdef CLIP_ES_LIBTORCH_HEADERS
#define USE_CUDA  // makes the header declare the stream guard; it includes no CUDA header
#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cpu.h>
#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cuda.h>
#include <torch/csrc/stable/c/shim.h>
#if __has_include(<ATen/Config.h>)
#include <torch/csrc/inductor/aoti_torch/c/shim_cpu.h>
#endif

#include "torch/c_functions.h"

namespace clip_es::torch {

static_assert(std::is_same_v<AtenTensorHandle, TensorHandle>);
static_assert(std::is_same_v<CUDAStreamGuardHandle, StreamGuardHandle>);
static_assert(std::is_same_v<StableIValue, StackSlot>);
static_assert(AOTI_TORCH_SUCCESS == 0);

#define X(name, ...) static_assert(std::is_same_v<decltype(::name), __VA_ARGS__>, #name);
CLIP_ES_TORCH_FUNCTIONS(X)
CLIP_ES_TORCH_HOST_FUNCTIONS(X)
CLIP_ES_TORCH_CUDA_FUNCTIONS(X)
#undef X

// The optional functions are checked one by one, because some headers do not declare all of them.
#define CHECK_OPTIONAL(name) static_assert(std::is_same_v<decltype(&::name), decltype(torch::name)>, #name)
CHECK_OPTIONAL(torch_call_dispatcher);
CHECK_OPTIONAL(aoti_torch_new_tensor_handle);
CHECK_OPTIONAL(aoti_torch_dtype_int8);
CHECK_OPTIONAL(aoti_torch_device_type_cuda);
#ifdef AT_MKLDNN_ENABLED
#if AT_MKLDNN_ENABLED()
CHECK_OPTIONAL(aoti_torch_cpu__linear_pointwise);
#endif
#endif
#if defined(TORCH_VERSION_2_13_0) && TORCH_FEATURE_VERSION >= TORCH_VERSION_2_13_0
CHECK_OPTIONAL(torch_exception_get_what_without_backtrace);
#endif

}  // namespace clip_es::torch
#endif
