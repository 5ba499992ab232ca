// y = activation(u), element by element: GELU or quick GELU (see activation.cuh). Twin: ops/cpu/activation.cpp.
// One thread per element.
#include "ops/cuda/activation.cuh"

namespace clip_es::cuda {
namespace {

constexpr int kThreads = 256;

template <class T>
__global__ void __launch_bounds__(kThreads) activate_kernel(Activate args) {
  const int64_t i = global_thread();
  if (i >= args.count) return;
  store(static_cast<T*>(args.y) + i, activation(args.exact_gelu, to_float(static_cast<const T*>(args.u)[i])));
}

}  // namespace

int activate(Stream stream, const Activate& args) {
  return launch(stream, args.bfloat16 ? activate_kernel<BFloat16> : activate_kernel<float>, blocks_for(args.count, kThreads), kThreads,
                args);
}

}  // namespace clip_es::cuda
