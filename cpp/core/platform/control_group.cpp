#include "core/platform/control_group.h"

#include <algorithm>
#include <fstream>

namespace clip_es::platform {
namespace {

// Files that are missing or say "max" set no limit.
void add_limits(const std::string& folder, GroupLimits& limits) {
  for (const char* file : {"/memory.max", "/memory.limit_in_bytes"}) {
    uint64_t bytes = 0;
    if (std::ifstream(folder + file) >> bytes) limits.memory = std::min(limits.memory, bytes);
  }
  double quota = 0, period = 0;  // microseconds of CPU time in each period
  const bool second_version = static_cast<bool>(std::ifstream(folder + "/cpu.max") >> quota >> period);
  const bool first_version =
      !second_version && std::ifstream(folder + "/cpu.cfs_quota_us") >> quota && std::ifstream(folder + "/cpu.cfs_period_us") >> period;
  if ((first_version || second_version) && quota > 0 && period > 0) limits.cores = std::min(limits.cores, quota / period);
}

}  // namespace

GroupLimits read_group_limits(const std::string& membership, const std::string& root) {
  GroupLimits limits;
  // In a container, these folders are the container's own groups, and the paths in `membership` may not exist.
  for (const char* folder : {"", "/memory", "/cpu"}) add_limits(root + folder, limits);
  // A line of version 2 is "0::/path", one of version 1 "4:cpu,cpuacct:/path". Each folder in the path is a group that limits those below.
  std::ifstream lines(membership);
  for (std::string line; std::getline(lines, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == line.npos || second == line.npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string base = controllers.empty() ? root : root + "/" + controllers;
    std::string path = line.substr(second + 1);
    while (!path.empty() && path != "/") {
      add_limits(base + path, limits);
      const size_t slash = path.rfind('/');
      path.resize(slash == path.npos ? 0 : slash);
    }
  }
  return limits;
}

}  // namespace clip_es::platform
