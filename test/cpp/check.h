// A small test framework. TEST registers a test, whose title is a sentence about the engine; a CHECK that fails ends its test.
#pragma once
#include <cmath>
#include <functional>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

namespace check {

struct Test {
  const char* file;
  std::string title;
  std::function<void()> body;
};
struct Failed : std::exception {};
struct Skipped : std::exception {
  explicit Skipped(std::string why) : reason(std::move(why)) {}
  std::string reason;
};

std::vector<Test>& tests();
bool add(const char* file, std::string title, std::function<void()> body);
void fail(const char* file, int line, const std::string& what);  // prints `what` and ends the test, which failed
[[noreturn]] void skip(const std::string& reason);               // ends the test, which is counted as skipped
// Runs all tests, or those whose title or file name contains a text of `only`, except those that contain `except`. Returns the exit status.
int run(const std::vector<std::string>& only, const std::vector<std::string>& except);
void note(const std::string& line);  // prints a measured value below the test's title

// Compares two sequences and returns the largest absolute difference; NaN counts as infinite.
template <class A, class B>
double largest_difference(const A& a, const B& b) {
  if (a.size() != b.size()) return INFINITY;
  double worst = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double d = std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
    worst = d <= worst ? worst : (std::isnan(d) ? INFINITY : d);
  }
  return worst;
}

}  // namespace check

#define CHECK_JOIN2(a, b) a##b
#define CHECK_JOIN(a, b) CHECK_JOIN2(a, b)
// Several files of tests may be compiled as one, so names are numbered by __COUNTER__ and not by the line.
#define TEST(title) CHECK_TEST(title, __COUNTER__)
#define CHECK_TEST(title, number)                                                                                         \
  static void CHECK_JOIN(test_, number)();                                                                                \
  [[maybe_unused]] static const bool CHECK_JOIN(added_, number) = check::add(__FILE__, title, CHECK_JOIN(test_, number)); \
  static void CHECK_JOIN(test_, number)()

#undef CHECK  // LibTorch's headers define one, too
#define CHECK(condition)                                                        \
  do {                                                                          \
    if (!(condition)) check::fail(__FILE__, __LINE__, "CHECK(" #condition ")"); \
  } while (0)

// Checks value < limit. A failure prints both numbers.
#define CHECK_BELOW(value, limit)                            \
  do {                                                       \
    const double v_ = (value), l_ = (limit);                 \
    if (!(v_ < l_)) {                                        \
      std::ostringstream s_;                                 \
      s_ << #value " = " << v_ << ", expected below " << l_; \
      check::fail(__FILE__, __LINE__, s_.str());             \
    }                                                        \
  } while (0)

// Runs the statement, which must throw clip_es::Error with this code and a message that contains `part`.
#define CHECK_ERROR(statement, expected_code, part)                                                                       \
  do {                                                                                                                    \
    bool thrown_ = false;                                                                                                 \
    try {                                                                                                                 \
      statement;                                                                                                          \
    } catch (const clip_es::Error& e_) {                                                                                  \
      thrown_ = true;                                                                                                     \
      if (e_.code != (expected_code) || std::string(e_.what()).find(part) == std::string::npos)                           \
        check::fail(__FILE__, __LINE__, std::string("unexpected error: ") + clip_es::name_of(e_.code) + " " + e_.what()); \
    }                                                                                                                     \
    if (!thrown_) check::fail(__FILE__, __LINE__, "no error from " #statement);                                           \
  } while (0)
