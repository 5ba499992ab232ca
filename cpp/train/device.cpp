#include "device.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include <cstdlib>

#include "core/error.h"

namespace clip_es::train {
namespace {

// By default glibc returns large blocks to the system, and gets them again in each iteration.
void keep_memory() {
#ifdef __GLIBC__
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
#endif
}

bool is_cuda_name(const std::string& name) {
  return name == "cuda" || (name.starts_with("cuda:") && name.size() > 5 && name.find_first_not_of("0123456789", 5) == name.npos);
}

}  // namespace

torch::Device open_device(const std::string& name, int threads) {
  if (name != "cpu" && !is_cuda_name(name)) throw Error(ErrorCode::kInvalidArg, "device is '" + name + "', expected cpu, cuda or cuda:N");
  at::set_num_threads(threads);
  at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/true);
  at::globalContext().setDeterministicCuDNN(true);
  at::globalContext().setDeterministicFillUninitializedMemory(false);  // only finds uses of memory that nobody wrote
  at::globalContext().setUserEnabledNNPACK(false);                // it prints a warning for each convolution on CPUs that it does not know
  setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", /*overwrite=*/0);  // without it cuBLAS is not deterministic
  keep_memory();
  const torch::Device device(name);
  if (device.is_cuda() && (!torch::cuda::is_available() || device.index() >= static_cast<int>(torch::cuda::device_count())))
    throw Error(ErrorCode::kDeviceUnavailable, "device " + name + " is not available: LibTorch finds " +
                                                   std::to_string(torch::cuda::device_count()) +
                                                   " CUDA devices; use cpu, or a CUDA build of LibTorch and a newer driver");
  return device;
}

}  // namespace clip_es::train
