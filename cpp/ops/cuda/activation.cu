// y = activation(u), element by element: GELU or quick GELU (see activation.cuh). Twin: ops/cpu/activation.cpp.
// One thread per 16 bytes, which it loads and stores at once. The last thread may have fewer elements.
#include "ops/cuda/activation.cuh"

namespace clip_es::cuda {
namespace {

constexpr int kThreads = 256;
template <class T>
constexpr int kElements = 16 / sizeof(T);  // of a thread

template <class T>
__global__ void __launch_bounds__(kThreads) activate_kernel(Activate args) {
  constexpr int kCount = kElements<T>;
  const int64_t first = global_thread() * kCount;
  const T* u = static_cast<const T*>(args.u) + first;
  T* y = static_cast<T*>(args.y) + first;
  if (first + kCount <= args.count) {
    Elements<T, kCount> elements = load_elements<kCount>(u);
    for (int i = 0; i < kCount; ++i) store(&elements.at[i], activation(args.exact_gelu, to_float(elements.at[i])));
    store_elements(y, elements);
    return;
  }
  for (int64_t i = 0; first + i < args.count; ++i) store(y + i, activation(args.exact_gelu, to_float(u[i])));
}

template <class T>
int activate_as(Stream stream, const Activate& args) {
  return launch(stream, activate_kernel<T>, blocks_for(args.count, kThreads * kElements<T>), kThreads, args);
}

}  // namespace

int activate(Stream stream, const Activate& args) {
  return args.bfloat16 ? activate_as<BFloat16>(stream, args) : activate_as<float>(stream, args);
}

}  // namespace clip_es::cuda
