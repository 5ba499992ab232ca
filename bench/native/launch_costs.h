// What each kernel and product of a GPU costs, computed from its arguments. Nothing is measured, and no GPU is needed.
#pragma once
#include <cstdint>

#include "ops/cuda/kernels.h"
#include "torch/backend.h"

namespace estimate {

// Of one call of a kernel, product or copy.
struct Cost {
  int64_t launches = 0;  // 0: the call queues nothing
  // Operations by type. A multiplication with its addition counts as 2. bfloat16: on tensor cores, with float32 sums.
  double bfloat16 = 0, float32 = 0, float64 = 0;
  // Bytes of device memory. An array counts once, even if the blocks of a kernel read it several times: the second-level cache serves them.
  double read = 0, written = 0;
  double copied = 0;  // bytes between the host and the GPU

  Cost& operator+=(const Cost&);
};

// An exponential, in float32 operations: in one clock a multiprocessor computes 16 exponentials, or 128 multiplications with additions
// (CUDA Programming Guide, "Throughput of Native Arithmetic Instructions", compute capability 9.0).
constexpr double kExponential = 2 * 128 / 16;

// One function for each kernel of ops/cuda/kernels.h.
#define X(name, Arguments) Cost cost_of(const clip_es::cuda::Arguments&);
CLIP_ES_CUDA_KERNELS(X)
#undef X

// The products of torch::Backend. out: the type of the result. added: is there a bias, or is the product added to the result?
Cost product_cost(const clip_es::torch::Batch& a, const clip_es::torch::Batch& b, clip_es::torch::Dtype out, bool added);
Cost attention_cost(int64_t images, int64_t n, int64_t width, int64_t heads);

}  // namespace estimate
