#include "ops/cuda/activation.cuh"

namespace clip_es::cuda {
namespace {

constexpr int kThreads = 256;

template <class T>
__global__ void activate_kernel(Activate in) {
  const int64_t i = global_thread();
  if (i >= in.count) return;
  store(static_cast<T*>(in.y) + i, activation(in.exact, to_float(static_cast<const T*>(in.u)[i])));
}

}  // namespace

int activate(Stream stream, const Activate& in) {
  return launch(stream, in.bfloat16 ? activate_kernel<BFloat16> : activate_kernel<float>, blocks_for(in.count, kThreads), kThreads, in);
}

}  // namespace clip_es::cuda
