// What the tests of kernels share: odd sizes, arrays with a guard behind their end, and a loop over the levels that this CPU has.
#pragma once
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "check.h"
#include "ops/cpu/cpu_level.h"

inline const std::vector<int64_t> kCounts = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 127, 130};
constexpr float kSentinel = -12345.0f;
constexpr size_t kGuard = 40;  // elements after the end of an array, more than any vector has

template <class T>
std::vector<T> guarded(std::vector<T> values, T sentinel = static_cast<T>(kSentinel)) {
  values.insert(values.end(), kGuard, sentinel);
  return values;
}
inline std::vector<float> empty(int64_t count) { return guarded(std::vector<float>(count, NAN)); }

// Compares got with want, relative to the size of want where that is above 1, and checks the elements after the end.
inline void check_equal(const std::vector<float>& got, const std::vector<double>& want, double limit, const char* what) {
  CHECK(got.size() == want.size() + kGuard);
  for (size_t i = 0; i < want.size(); ++i) {
    const double difference = std::abs(static_cast<double>(got[i]) - want[i]) / std::max(1.0, std::abs(want[i]));
    if (!(difference < limit))
      check::fail(__FILE__, __LINE__,
                  std::string(what) + ": element " + std::to_string(i) + " of " + std::to_string(want.size()) + " is " +
                      std::to_string(got[i]) + " instead of " + std::to_string(want[i]));
  }
  for (size_t i = want.size(); i < got.size(); ++i)
    if (got[i] != kSentinel) check::fail(__FILE__, __LINE__, std::string(what) + " writes beyond the end");
}

// Calls body(kernels, count) for every level and every odd size.
template <class Body>
void for_levels(Body body) {
  for (const clip_es::ops::CpuLevel& level : clip_es::ops::cpu_levels()) {
    check::note(level.name);
    for (const int64_t count : kCounts) body(level.kernels, count);
  }
}
