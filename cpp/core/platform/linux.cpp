// Memory, cores and library names on Linux. posix.cpp has the rest.
#include <malloc.h>
#include <sched.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <thread>

#include "core/platform/arm64_features.h"
#include "core/platform/control_group.h"
#include "core/platform/file.h"
#include "core/platform/library.h"
#include "core/platform/memory.h"
#include "core/platform/threads.h"

namespace clip_es::platform {
namespace {

constexpr int kLowerPriority = 5;  // steps of "nice": about a third of the CPU time of a thread with the usual priority

// Since Linux 6.12 a thread that wakes up interrupts one whose slice is longer than its own. The usual slice is at most 3 ms. A much longer
// one would let these threads keep a core for as long. Older systems ignore it.
constexpr uint64_t kLongSlice = 5'000'000;  // nanoseconds

// What the system call sched_setattr reads: struct sched_attr in its first version.
struct SchedulingAttributes {
  uint32_t size = sizeof(SchedulingAttributes);
  uint32_t policy = SCHED_OTHER;
  uint64_t flags = 0;
  int32_t nice = 0;
  uint32_t real_time_priority = 0;
  uint64_t slice = 0;
  uint64_t deadline = 0;
  uint64_t period = 0;
};

size_t page_size() { return static_cast<size_t>(sysconf(_SC_PAGE_SIZE)); }

GroupLimits group_limits() { return read_group_limits("/proc/self/cgroup", "/sys/fs/cgroup"); }

}  // namespace

std::string library_file_name(const std::string& name) { return "lib" + name + ".so"; }

size_t memory_limit() {
  const size_t machine = static_cast<size_t>(sysconf(_SC_PHYS_PAGES)) * page_size();
  return static_cast<size_t>(std::min<uint64_t>(machine, group_limits().memory));
}

size_t resident_bytes() {
  size_t resident_pages = 0;  // the second number of the file
  std::sscanf(read_text("/proc/self/statm").c_str(), "%*u %zu", &resident_pages);
  return resident_pages * page_size();
}

void advise_huge_pages(void* p, size_t bytes) {
  constexpr uintptr_t kHugePage = uintptr_t{2} << 20;
  const uintptr_t first = (reinterpret_cast<uintptr_t>(p) + kHugePage - 1) / kHugePage * kHugePage;
  const uintptr_t last = (reinterpret_cast<uintptr_t>(p) + bytes) / kHugePage * kHugePage;
  if (last > first) madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
}

void return_freed_memory() {
#ifdef __GLIBC__  // musl has no such function
  malloc_trim(0);
#endif
}

int usable_cores() {
  cpu_set_t cores;
  const bool known = sched_getaffinity(0, sizeof cores, &cores) == 0;  // false on machines with more than 1024 cores
  const int allowed = known ? CPU_COUNT(&cores) : static_cast<int>(std::thread::hardware_concurrency());
  const double limit = std::ceil(group_limits().cores);
  return std::max(1, limit < allowed ? static_cast<int>(limit) : allowed);
}

bool lower_thread_priority() {
  static thread_local const bool lowered = [] {
    const auto thread = static_cast<id_t>(syscall(SYS_gettid));  // on Linux a priority belongs to a thread, not to a process
    const int priority = getpriority(PRIO_PROCESS, thread) + kLowerPriority;
    const SchedulingAttributes attributes{.nice = std::min(priority, 19), .slice = kLongSlice};
    const bool usual = sched_getscheduler(0) == SCHED_OTHER;  // a policy that the user has chosen stays
    if (usual && syscall(SYS_sched_setattr, thread, &attributes, 0) == 0) return true;
    return setpriority(PRIO_PROCESS, thread, priority) == 0;  // also in a sandbox without the other call
  }();
  return lowered;
}

Arm64Features arm64_features() {
  // HWCAP_… and HWCAP2_… of arm64's asm/hwcap.h. CRC32, atomics and rounding multiplications are the instructions of Armv8.2 that
  // compilers use and Armv8.0 lacks.
  constexpr unsigned long kCrc32 = 1ul << 7, kAtomics = 1ul << 8, kRoundingMultiplications = 1ul << 12, kDotProducts = 1ul << 20;
  constexpr unsigned long kI8mm = 1ul << 13, kBf16 = 1ul << 14;
  constexpr unsigned long kAll = kCrc32 | kAtomics | kRoundingMultiplications | kDotProducts;
  const unsigned long second = getauxval(AT_HWCAP2);
  return {(getauxval(AT_HWCAP) & kAll) == kAll, (second & kBf16) != 0, (second & kI8mm) != 0};
}

}  // namespace clip_es::platform
