#include "core/platform/control_group.h"

#include <algorithm>
#include <cstdio>

#include "core/platform/file.h"

namespace clip_es::platform {
namespace {

// Two numbers of a file, or one. Returns how many there are: 0 if the file is missing or begins with "max", which is no limit.
int read_numbers(const std::string& file, double& first, double& second) {
  return std::max(0, std::sscanf(read_text(file).c_str(), "%lf %lf", &first, &second));
}

void add_limits(const std::string& folder, GroupLimits& limits) {
  double bytes = 0, quota = 0, period = 0, unused = 0;
  for (const char* file : {"/memory.max", "/memory.limit_in_bytes"})
    if (read_numbers(folder + file, bytes, unused) > 0) limits.memory = std::min(limits.memory, static_cast<uint64_t>(bytes));
  // Microseconds of CPU time in each period. -1 is no limit.
  const bool second_version = read_numbers(folder + "/cpu.max", quota, period) == 2;
  const bool first_version = !second_version && read_numbers(folder + "/cpu.cfs_quota_us", quota, unused) > 0 &&
                             read_numbers(folder + "/cpu.cfs_period_us", period, unused) > 0;
  if ((first_version || second_version) && quota > 0 && period > 0) limits.cores = std::min(limits.cores, quota / period);
}

}  // namespace

GroupLimits read_group_limits(const std::string& membership, const std::string& root) {
  GroupLimits limits;
  // In a container, these folders are the container's own groups, and the paths in `membership` may not exist.
  for (const char* folder : {"", "/memory", "/cpu"}) add_limits(root + folder, limits);
  // A line of version 2 is "0::/path", one of version 1 "4:cpu,cpuacct:/path". Each folder in the path is a group that limits those below.
  const std::string text = read_text(membership);
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string line = text.substr(begin, end - begin);
    begin = end + 1;
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == line.npos || second == line.npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string base = controllers.empty() ? root : root + "/" + controllers;
    std::string path = line.substr(second + 1);
    while (path.size() > 1) {
      add_limits(base + path, limits);
      const size_t slash = path.rfind('/');
      path.resize(slash == path.npos ? 0 : slash);
    }
  }
  return limits;
}

}  // namespace clip_es::platform
