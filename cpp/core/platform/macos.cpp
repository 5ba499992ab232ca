// Memory, cores and library names on macOS. posix.cpp has the rest.
#include <mach/mach.h>
#include <malloc/malloc.h>
#include <pthread.h>
#include <sys/sysctl.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <thread>

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

bool lower_thread_priority() { return pthread_set_qos_class_self_np(QOS_CLASS_UTILITY, 0) == 0; }

}  // namespace clip_es::platform
