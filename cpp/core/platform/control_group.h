// Linux: the limits of the control groups (cgroups) of this process. A container is a control group.
#pragma once
#include <cstdint>
#include <limits>
#include <string>

namespace clip_es::platform {

struct GroupLimits {
  uint64_t memory = std::numeric_limits<uint64_t>::max();  // bytes
  double cores = std::numeric_limits<double>::infinity();  // for example 1.5
};

// The lowest limits of the groups that contain this process, in version 1 or 2 of control groups.
// membership: /proc/self/cgroup, which may be missing. root: /sys/fs/cgroup.
GroupLimits read_group_limits(const std::string& membership, const std::string& root);

}  // namespace clip_es::platform
