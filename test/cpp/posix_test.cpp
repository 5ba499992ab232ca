// Tests that need fork(), limits of a process, or kinds of files that only Linux and macOS have. Not built for Windows.
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "archive/archive.h"
#include "archive_fixture.h"
#include "check.h"
#include "core/error.h"
#include "core/thread_pool.h"

using namespace clip_es;

TEST("a model that may not be read, or is a FIFO, is ERR_MODEL_READ with the reason") {
  const fixture::TemporaryFile file("PK");
  chmod(file.path().c_str(), 0);
  if (geteuid() != 0) CHECK_ERROR(Archive(file.path()), ErrorCode::kModelRead, "Permission denied");
  unlink(file.path().c_str());
  CHECK(mkfifo(file.path().c_str(), 0600) == 0);
  CHECK_ERROR(Archive(file.path()), ErrorCode::kModelRead, "not a regular file");
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
    } catch (const clip_es::Error& error) {
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
