// The names of devices.
#include "device/device.h"

#include "check.h"
#include "core/error.h"

namespace clip_es::device_test {

TEST("the names of devices are 'cpu', 'cuda' and 'cuda:N', and others are refused with these names") {
  Arena arena;
  CHECK(open_device("cpu", arena)->name() == "cpu");
  for (const std::string name : {"", "CPU", "cpu:0", "gpu", "cuda:", "cuda:-1", "cuda:x", "cuda:1x", "cuda: 1", "cuda1"})
    CHECK_ERROR(open_device(name, arena), ErrorCode::kDeviceUnavailable,
                "there is no device '" + name + "'; use 'cpu', 'cuda' or 'cuda:N'");
  for (const std::string name : {"cuda", "cuda:0", "cuda:999"}) {
    std::string message;
    try {
      open_device(name, arena);
    } catch (const Error& error) {  // there may be no such GPU
      message = error.what();
    }
    CHECK(message.find("there is no device '") == std::string::npos);
  }
}

}  // namespace clip_es::device_test
