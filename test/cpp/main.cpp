// clip_es_test [--libtorch DIR] [--model FILE] [--golden DIR] [--device cuda[:N]] [--only TEXT]... [--except TEXT]
// Runs all tests, or with --only the tests whose title or file name contains one of the texts. Leaves out the tests whose title or file
// name contains the text of --except.
// clip_es_test --cpu-levels
// Prints the names of the kernel levels that this CPU supports, the best one first. CLIP_ES_CPU selects the level for the tests.
#include <algorithm>
#include <cstring>

#include "check.h"
#include "ops/cpu/cpu_level.h"
#include "options.h"

namespace check {

std::vector<Test>& tests() {
  static std::vector<Test> all;
  return all;
}
bool add(const char* file, std::string title, std::function<void()> body) {
  tests().push_back({file, std::move(title), std::move(body)});
  return true;
}
void fail(const char* file, int line, const std::string& what) {
  std::cout << "    " << file << ':' << line << ": " << what << '\n';
  throw Failed{};
}
void skip(const std::string& reason) { throw Skipped(reason); }
void note(const std::string& line) { std::cout << "    " << line << '\n'; }

}  // namespace check

TestOptions& options() {
  static TestOptions o;
  return o;
}

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "--cpu-levels") == 0) {
    for (const clip_es::ops::CpuLevel& level : clip_es::ops::cpu_levels()) std::cout << level.name << '\n';
    return 0;
  }
  std::vector<std::string> only;
  std::string except;
  const auto names = [](const check::Test& test, const std::string& text) {
    return test.title.find(text) != std::string::npos || std::strstr(test.file, text.c_str());
  };
  for (int i = 1; i < argc; i += 2) {
    const std::string name = argv[i];
    const char* value = i + 1 < argc ? argv[i + 1] : "";
    if (name == "--libtorch") options().libtorch = value;
    else if (name == "--model") options().model = value;
    else if (name == "--golden") options().golden = value;
    else if (name == "--device") options().device = value;
    else if (name == "--only") only.push_back(value);
    else if (name == "--except") except = value;
    else {
      std::cerr << "unknown option " << name
                << "; the options are --libtorch DIR, --model FILE, --golden DIR, --device cuda[:N], --only TEXT, --except TEXT and "
                   "--cpu-levels\n";
      return 2;
    }
  }
  int passed = 0, failed = 0, skipped = 0;
  for (const auto& test : check::tests()) {
    const bool chosen = only.empty() || std::any_of(only.begin(), only.end(), [&](const std::string& text) { return names(test, text); });
    if (!chosen || (!except.empty() && names(test, except))) continue;
    std::cout << "  " << test.title << std::endl;
    bool ok = true;
    try {
      test.body();
    } catch (const check::Skipped& s) {
      ++skipped;
      std::cout << "    skipped: " << s.reason << std::endl;
      continue;
    } catch (const check::Failed&) {
      ok = false;
    } catch (const std::exception& e) {
      std::cout << "    " << test.file << ": " << e.what() << '\n';
      ok = false;
    }
    ok ? ++passed : ++failed;
    if (!ok) std::cout << "    FAILED" << std::endl;
  }
  std::cout << "C++ tests: " << passed << " passed, " << failed << " failed, " << skipped << " skipped\n";
  return failed || passed + skipped == 0 ? 1 : 0;
}
