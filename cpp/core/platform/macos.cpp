// Memory, cores and library names on macOS. posix.cpp has the rest.
#include <mach/mach.h>
#include <malloc/malloc.h>
#include <pthread.h>
#include <sys/sysctl.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <thread>

#include "core/platform/arm64_features.h"
#include "core/platform/library.h"
#include "core/platform/memory.h"
#include "core/platform/threads.h"

namespace clip_es::platform {

std::string library_file_name(const std::string& name) { return "lib" + name + ".dylib"; }

size_t memory_limit() {
  uint64_t bytes = 0;
  size_t size = sizeof bytes;
  if (sysctlbyname("hw.memsize", &bytes, &size, nullptr, 0) != 0) return std::numeric_limits<size_t>::max();
  return static_cast<size_t>(bytes);
}

size_t resident_bytes() {
  mach_task_basic_info_data_t info{};
  mach_msg_type_number_t count = MACH_TASK_BASIC_INFO_COUNT;
  if (task_info(mach_task_self(), MACH_TASK_BASIC_INFO, reinterpret_cast<task_info_t>(&info), &count) != KERN_SUCCESS) return 0;
  return static_cast<size_t>(info.resident_size);
}

void advise_huge_pages(void*, size_t) {}  // macOS chooses the size of pages itself

void return_freed_memory() { malloc_zone_pressure_relief(nullptr, 0); }

int usable_cores() { return std::max(1, static_cast<int>(std::thread::hardware_concurrency())); }

// A lower class of service could keep the thread on efficiency cores, which would cost throughput.
bool lower_thread_priority() { return false; }

Arm64Features arm64_features() {
  const auto has = [](const char* name) {
    int value = 0;
    size_t size = sizeof value;
    return sysctlbyname(name, &value, &size, nullptr, 0) == 0 && value != 0;
  };
  // Every Mac with such a CPU has all of Armv8.2.
  return {has("hw.optional.arm.FEAT_DotProd"), has("hw.optional.arm.FEAT_BF16"), has("hw.optional.arm.FEAT_I8MM")};
}

}  // namespace clip_es::platform
