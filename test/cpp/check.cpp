#include "check.h"

#include <algorithm>
#include <cstring>

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

int run(const std::vector<std::string>& only, const std::vector<std::string>& except) {
  const auto is_named = [](const Test& test, const std::vector<std::string>& texts) {
    return std::ranges::any_of(
        texts, [&](const std::string& text) { return test.title.find(text) != std::string::npos || std::strstr(test.file, text.c_str()); });
  };
  int passed = 0, failed = 0, skipped = 0;
  for (const auto& test : tests()) {
    if ((!only.empty() && !is_named(test, only)) || is_named(test, except)) continue;
    std::cout << "  " << test.title << std::endl;
    bool ok = true;
    try {
      test.body();
    } catch (const Skipped& s) {
      ++skipped;
      std::cout << "    skipped: " << s.reason << std::endl;
      continue;
    } catch (const Failed&) {
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

}  // namespace check
