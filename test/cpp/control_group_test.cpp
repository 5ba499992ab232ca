// Limits of control groups, read from folders with the same files as /sys/fs/cgroup.
#include "core/platform/control_group.h"

#include <cmath>
#include <filesystem>
#include <fstream>

#include "archive_fixture.h"
#include "check.h"

namespace clip_es::control_group_test {

namespace fs = std::filesystem;

namespace {

struct Groups {
  fs::path root = fixture::TemporaryFile().path() + "-groups";
  ~Groups() { fs::remove_all(root); }

  void write(const std::string& file, const std::string& text) const {
    fs::create_directories((root / file).parent_path());
    std::ofstream(root / file) << text << '\n';
  }
  platform::GroupLimits limits() const { return platform::read_group_limits(root / "membership", root); }
};

constexpr uint64_t kNoMemoryLimit = std::numeric_limits<uint64_t>::max();

}  // namespace

TEST("without control groups there is no limit") {
  const Groups groups;
  CHECK(groups.limits().memory == kNoMemoryLimit && std::isinf(groups.limits().cores));
}

TEST("'max' in control groups of version 2 is no limit") {
  const Groups groups;
  groups.write("membership", "0::/");
  groups.write("memory.max", "max");
  groups.write("cpu.max", "max 100000");
  CHECK(groups.limits().memory == kNoMemoryLimit && std::isinf(groups.limits().cores));
}

TEST("a container's own limits in version 2 are at the root") {
  const Groups groups;
  groups.write("memory.max", "536870912");
  groups.write("cpu.max", "150000 100000");
  CHECK(groups.limits().memory == 536870912 && groups.limits().cores == 1.5);
}

TEST("the lowest limit of the groups that contain the process counts in version 2") {
  const Groups groups;
  groups.write("membership", "0::/system.slice/web.service");
  groups.write("system.slice/memory.max", "1000");
  groups.write("system.slice/cpu.max", "400000 100000");
  groups.write("system.slice/web.service/memory.max", "max");
  groups.write("system.slice/web.service/cpu.max", "50000 100000");
  groups.write("system.slice/other.service/memory.max", "10");
  CHECK(groups.limits().memory == 1000 && groups.limits().cores == 0.5);
}

TEST("version 1 has a hierarchy per controller, and -1 is no limit") {
  const Groups groups;
  groups.write("membership", "5:cpu,cpuacct:/a/b\n3:memory:/a/b\n1:name=systemd:/a/b");
  groups.write("memory/memory.limit_in_bytes", "9223372036854771712");
  groups.write("memory/a/b/memory.limit_in_bytes", "2000");
  groups.write("cpu,cpuacct/a/cpu.cfs_quota_us", "200000");
  groups.write("cpu,cpuacct/a/cpu.cfs_period_us", "100000");
  groups.write("cpu,cpuacct/a/b/cpu.cfs_quota_us", "-1");
  groups.write("cpu,cpuacct/a/b/cpu.cfs_period_us", "100000");
  CHECK(groups.limits().memory == 2000 && groups.limits().cores == 2);
}

TEST("a container in version 1 finds its limits at the root of each controller") {
  const Groups groups;
  groups.write("membership", "5:cpu,cpuacct:/docker/0123\n3:memory:/docker/0123");
  groups.write("memory/memory.limit_in_bytes", "3000");
  groups.write("cpu/cpu.cfs_quota_us", "100000");
  groups.write("cpu/cpu.cfs_period_us", "100000");
  CHECK(groups.limits().memory == 3000 && groups.limits().cores == 1);
}

TEST("lines that are no membership are ignored") {
  const Groups groups;
  groups.write("membership", "nonsense\n::\n0::relative\n:");
  groups.write("memory.max", "7");
  CHECK(groups.limits().memory == 7);
}

}  // namespace clip_es::control_group_test
