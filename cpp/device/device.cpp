#include "device/device.h"

#include <charconv>

#include "device/cpu/device.h"
#include "device/cuda/device.h"

namespace clip_es {
namespace {

// "cuda" is the first GPU, "cuda:N" is GPU N. Returns -1 for any other name.
int gpu_index(const std::string& name) {
  if (name == "cuda") return 0;
  if (!name.starts_with("cuda:")) return -1;
  int index = -1;
  const char *first = name.data() + 5, *last = name.data() + name.size();
  const auto [end, error] = std::from_chars(first, last, index);
  return error == std::errc() && end == last ? index : -1;
}

}  // namespace

std::unique_ptr<Device> open_device(const std::string& name, Arena& host) {
  if (name == "cpu") return std::make_unique<cpu::CpuDevice>(host);
  const int index = gpu_index(name);
  if (index < 0) throw Error(ErrorCode::kDeviceUnavailable, "there is no device '" + name + "'; use 'cpu', 'cuda' or 'cuda:N'");
  return std::make_unique<cuda::CudaDevice>(cuda::Gpu::open(index));
}

}  // namespace clip_es
