// Tests that need fork(), limits of a process, or kinds of files that only Linux and macOS have. Not built for Windows.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <span>
#include <thread>
#include <vector>

#include "archive/archive.h"
#include "archive_fixture.h"
#include "check.h"
#include "core/arena.h"
#include "core/cpu_features.h"
#include "core/error.h"
#include "core/platform/file.h"
#include "core/platform/memory.h"
#include "core/platform/system_error.h"
#include "core/platform/threads.h"
#include "core/thread_pool.h"

namespace clip_es::posix_test {

TEST("a model that may not be read, or is a FIFO, is ERR_MODEL_READ with the reason") {
  const fixture::TemporaryFile file("PK");
  chmod(file.path().c_str(), 0);
  if (geteuid() != 0) CHECK_ERROR(Archive(file.path()), ErrorCode::kModelRead, "Permission denied");
  unlink(file.path().c_str());
  CHECK(mkfifo(file.path().c_str(), 0600) == 0);
  CHECK_ERROR(Archive(file.path()), ErrorCode::kModelRead, "not a regular file");
}

// How a process ends that takes pieces of these sizes from an arena and writes one byte behind the last one, if `offset` says so.
namespace {

bool ends_well(std::span<const size_t> sizes, std::ptrdiff_t offset) {
  const pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), 2);
    Arena arena;
    {
      const Arena::Scope scope(arena);
      volatile uint8_t* last = nullptr;
      for (const size_t size : sizes) {
        const auto piece = arena.take<uint8_t>(size);
        std::ranges::fill(piece, uint8_t{1});
        last = piece.data() + piece.size();
      }
      last[offset] = 1;
    }
    _exit(0);
  }
  int status = -1;
  CHECK(waitpid(child, &status, 0) == child);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace

TEST("in these tests, the program ends if it writes behind a piece of an arena, and memory is NaN before it is written") {
  constexpr size_t kSizes[] = {1, 64, 100, 3 << 20, 7};  // the fourth one needs a second chunk of memory
  for (size_t count = 1; count <= std::size(kSizes); ++count) {
    const auto sizes = std::span(kSizes).first(count);
    CHECK(ends_well(sizes, -1));
    for (const std::ptrdiff_t offset : {0, 1, 70, 900}) CHECK(!ends_well(sizes, offset));
  }
  Arena arena;
  for (int round = 0; round < 2; ++round) {
    const Arena::Scope scope(arena);
    const auto piece = arena.take<float>(100);
    CHECK(std::ranges::all_of(piece, [](float value) { return value != value; }));
    std::ranges::fill(piece, 1.0f);
  }
}

// Sanitizers reserve address space themselves, so the limit below would end the process.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST("a pool that the system gives too few threads is refused as ERR_OUT_OF_MEMORY, and stops those it started") {
  const pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    std::ifstream statistics("/proc/self/statm");
    rlim_t pages = 0;
    statistics >> pages;
    const rlim_t limit = pages * static_cast<rlim_t>(sysconf(_SC_PAGESIZE)) + (rlim_t{64} << 20);  // a few stacks
    const rlimit limits{limit, limit};
    if (setrlimit(RLIMIT_AS, &limits) != 0) _exit(2);
    try {
      const ThreadPool pool(4000);
    } catch (const Error& error) {
      const std::string message = error.what();
      const bool right = error.code == ErrorCode::kOutOfMemory && message.starts_with("the system started only ") &&
                         message.find(" of 4000 threads (") != message.npos;
      const auto running = std::distance(std::filesystem::directory_iterator("/proc/self/task"), {});
      _exit(right && running == 1 ? 0 : 1);
    }
    _exit(3);
  }
  int status = -1;
  CHECK(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
}
#endif

TEST("write_file() writes all parts, replaces a file, and leaves nothing behind if it cannot") {
  const std::filesystem::path folder = fixture::TemporaryFile().path() + "-folder";
  std::filesystem::create_directories(folder / "occupied" / "below");
  const std::string first = "one, ", empty, large(300'000, 'x');
  const auto bytes = [](const std::string& text) { return std::as_bytes(std::span(text)); };
  const std::vector<std::span<const std::byte>> parts{bytes(first), bytes(empty), bytes(large)};
  for (const size_t count : {3u, 1u, 0u}) {
    platform::write_file((folder / "file").string(), std::span(parts).first(count));
    CHECK(fixture::read_file((folder / "file").string()) == (count == 3 ? first + large : count == 1 ? first : empty));
  }
  const auto refused = [&](const std::filesystem::path& path) {
    try {
      platform::write_file(path.string(), parts);
      return std::string();
    } catch (const platform::SystemError& error) {
      return std::string(error.what());
    }
  };
  CHECK(refused(folder / "occupied") == "Is a directory");
  CHECK(refused(folder / "none" / "file") == "No such file or directory");
  CHECK(refused("/dev/null/file") == "Not a directory");
  CHECK(std::distance(std::filesystem::directory_iterator(folder), {}) == 2);
  const auto open_files = [] { return std::distance(std::filesystem::directory_iterator("/dev/fd"), {}); };
  const auto before = open_files();
  for (int i = 0; i < 3; ++i) {
    platform::write_file((folder / "file").string(), parts);
    refused(folder / "occupied");
    const platform::File file((folder / "file").string());
  }
  CHECK(open_files() == before);
  std::filesystem::remove_all(folder);
}

#ifdef __linux__
TEST("a thread lowers its priority by 5 steps, once and for itself only") {
  // Returns the steps of "nice" of a new thread, which has lowered its priority so many times.
  bool lowered = true;
  const auto priority_after = [&](int times) {
    int priority = -1;
    std::thread([&] {
      for (int i = 0; i < times; ++i) lowered = platform::lower_thread_priority() && lowered;
      priority = getpriority(PRIO_PROCESS, static_cast<id_t>(gettid()));
    }).join();
    return priority;
  };
  const int before = priority_after(0);
  CHECK(priority_after(1) == std::min(before + 5, 19) && priority_after(2) == std::min(before + 5, 19));
  CHECK(priority_after(0) == before && lowered);
}

TEST("the limit of memory is at most what the machine has, and the resident memory that of the kernel's status") {
  const auto machine = static_cast<size_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<size_t>(sysconf(_SC_PAGESIZE));
  CHECK(platform::memory_limit() <= machine && platform::memory_limit() > 0);
  std::ifstream status("/proc/self/status");
  size_t kilobytes = 0;
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmRSS:")) kilobytes = std::stoul(line.substr(6));
  const auto difference = static_cast<double>(platform::resident_bytes()) / 1024 - static_cast<double>(kilobytes);
  CHECK(std::abs(difference) < 0.02 * static_cast<double>(kilobytes) + 1024);
}
#endif

#ifdef __x86_64__
TEST("the CPU has the features that the compiler's own check finds") {
  const CpuFeatures cpu = cpu_features();
  const auto has = [](auto... features) { return (... && (features != 0)); };
  const bool avx2 =
      has(__builtin_cpu_supports("avx2"), __builtin_cpu_supports("fma"), __builtin_cpu_supports("bmi"), __builtin_cpu_supports("bmi2"));
  const bool avx512 = avx2 && has(__builtin_cpu_supports("avx512f"), __builtin_cpu_supports("avx512bw"), __builtin_cpu_supports("avx512cd"),
                                  __builtin_cpu_supports("avx512dq"), __builtin_cpu_supports("avx512vl"));
  CHECK(cpu.avx2 == avx2 && cpu.avx512 == avx512);
  CHECK(cpu.avx512_vnni == (avx512 && __builtin_cpu_supports("avx512vnni") != 0));
  CHECK(cpu.avx512_bf16 == (avx512 && __builtin_cpu_supports("avx512bf16") != 0));
}
#endif

}  // namespace clip_es::posix_test
