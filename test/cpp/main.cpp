// clip_es_test [--libtorch DIR] [--model FILE] [--golden DIR] [--device cuda[:N]] [--only TEXT]... [--except TEXT]...
// Runs all tests, or with --only the tests whose title or file name contains one of the texts. Leaves out the tests whose title or file
// name contains one of the texts of --except.
// clip_es_test --cpu-levels
// Prints the names of the kernel levels that this CPU supports, the best one first. CLIP_ES_CPU selects the level for the tests.
#include <cstring>

#include "check.h"
#include "core/arena_guard.h"
#include "ops/cpu/cpu_level.h"
#include "options.h"

TestOptions& options() {
  static TestOptions o;
  return o;
}

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "--cpu-levels") == 0) {
    for (const clip_es::ops::CpuLevel& level : clip_es::ops::cpu_levels()) std::cout << level.name << '\n';
    return 0;
  }
  std::vector<std::string> only, except;
  for (int i = 1; i < argc; i += 2) {
    const std::string name = argv[i];
    const char* value = i + 1 < argc ? argv[i + 1] : "";
    if (name == "--libtorch") options().libtorch = value;
    else if (name == "--model") options().model = value;
    else if (name == "--golden") options().golden = value;
    else if (name == "--device") options().device = value;
    else if (name == "--only") only.push_back(value);
    else if (name == "--except") except.push_back(value);
    else {
      std::cerr << "unknown option " << name
                << "; the options are --libtorch DIR, --model FILE, --golden DIR, --device cuda[:N], --only TEXT, --except TEXT and "
                   "--cpu-levels\n";
      return 2;
    }
  }
  clip_es::guard_host_memory();
  return check::run(only, except);
}
