#include "device.h"

#include "cpu_device.h"

namespace clip_es {

std::unique_ptr<Device> open_device(const std::string& name, Arena& host) {
  if (name == "cpu") return std::make_unique<CpuDevice>(host);
  throw Error(ErrorCode::kDeviceUnavailable, "device '" + name + "' cannot be used: this version computes on the CPU alone; use 'cpu'");
}

}  // namespace clip_es
