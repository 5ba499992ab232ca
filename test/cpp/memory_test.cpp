// Memory of a device: spans that the host cannot read, and a buffer that grows.
#include "core/memory.h"

#include <type_traits>

#include "check.h"
#include "core/error.h"

namespace clip_es::memory_test {

namespace {

static_assert(std::is_convertible_v<DeviceSpan<float>, DeviceSpan<const float>>);
static_assert(!std::is_convertible_v<DeviceSpan<const float>, DeviceSpan<float>>);
static_assert(!std::is_convertible_v<DeviceSpan<float>, HostSpan<float>>);
static_assert(!std::is_convertible_v<HostSpan<float>, DeviceSpan<float>>);
static_assert(!std::is_convertible_v<DeviceSpan<float>, DeviceSpan<const double>>);

}  // namespace

TEST("parts of a device's span begin and end where they should") {
  float values[10];
  const DeviceSpan<float> all = DeviceAccess::span(values, 10);
  const auto is = [&](const DeviceSpan<const float>& part, size_t first, size_t count) {
    return DeviceAccess::address(part) == values + first && part.size() == count && part.size_bytes() == 4 * count;
  };
  CHECK(is(all, 0, 10) && is(all.first(4), 0, 4) && is(all.subspan(3), 3, 7) && is(all.subspan(3, 2), 3, 2));
  CHECK(is(all.subspan(2).subspan(1).first(5), 3, 5));
  CHECK(all.subspan(10).empty() && !all.empty() && DeviceSpan<float>().empty());
}

TEST("a device buffer allocates only when it must grow, frees its memory first, and is empty after a refusal") {
  size_t largest = 0;
  int allocations = 0, alive = 0;
  const MemorySource source{[&](size_t bytes) {
                              CHECK(alive == 0);
                              if (bytes > 4000) throw Error(ErrorCode::kOutOfMemory, "too large");
                              ++allocations;
                              ++alive;
                              largest = std::max(largest, bytes);
                              return std::shared_ptr<std::byte>(new std::byte[bytes], [&](std::byte* p) {
                                --alive;
                                delete[] p;
                              });
                            },
                            4000};
  DeviceBuffer buffer;
  CHECK(buffer.bytes() == 0 && buffer.floats().empty());
  buffer.reserve(source, 100);
  CHECK(buffer.bytes() == 400 && buffer.floats().size() == 100 && allocations == 1);
  for (const size_t fits : {0u, 1u, 99u, 100u}) buffer.reserve(source, fits);
  CHECK(allocations == 1 && buffer.floats().size() == 100);
  buffer.reserve(source, 101);
  CHECK(allocations == 2 && largest == 404 && buffer.floats().size() == 101);
  CHECK_ERROR(buffer.reserve(source, 1001), ErrorCode::kOutOfMemory, "too large");
  CHECK(alive == 0 && buffer.bytes() == 0 && buffer.floats().empty());
  buffer.reserve(source, 1000);
  CHECK(buffer.bytes() == 4000);
}

}  // namespace clip_es::memory_test
