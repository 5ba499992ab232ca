// What the tests of the emulator share: kernels with an error are launched on it directly, without the engine.
#pragma once
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <functional>
#include <string>

#include "check.h"
#include "emulator/control.h"
#include "emulator/cuda_runtime.h"

// Runs `work` in a child process. Returns what it wrote to stderr if it ended by an error, else "".
inline std::string error_of(const std::function<void()>& work) {
  int ends[2];
  CHECK(pipe(ends) == 0);
  const pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    const rlimit no_core_file{};
    setrlimit(RLIMIT_CORE, &no_core_file);
    dup2(ends[1], STDERR_FILENO);
    close(ends[0]);
    work();
    _exit(0);
  }
  close(ends[1]);
  std::string text;
  std::array<char, 4096> part;
  for (ssize_t count = 0; (count = read(ends[0], part.data(), part.size())) > 0;) text.append(part.data(), static_cast<size_t>(count));
  close(ends[0]);
  int status = 0;
  CHECK(waitpid(child, &status, 0) == child);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? "" : text;
}

// by_sanitizer: what AddressSanitizer or UndefinedBehaviorSanitizer says, if they are the first to find the error.
inline void check_error(const std::function<void()>& work, const std::string& expected, const std::string& by_sanitizer = "") {
  const std::string text = error_of(work);
  if (text.find(expected) != std::string::npos || (!by_sanitizer.empty() && text.find(by_sanitizer) != std::string::npos)) return;
  check::fail(__FILE__, __LINE__, "expected '" + expected + "', got '" + text + "'");
}

class Stream {
 public:
  Stream() { cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking); }
  ~Stream() { cudaStreamDestroy(stream_); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  operator cudaStream_t() const { return stream_; }
  void wait() const { cudaStreamSynchronize(stream_); }

 private:
  cudaStream_t stream_ = nullptr;
};

// Memory of the emulator that is freed at the end of the test.
class Floats {
 public:
  explicit Floats(size_t count, bool pinned = false) : pinned_(pinned) {
    void* memory = nullptr;
    pinned ? cudaHostAlloc(&memory, count * sizeof(float), 0) : cudaMalloc(&memory, count * sizeof(float));
    data_ = static_cast<float*>(memory);
  }
  ~Floats() { pinned_ ? cudaFreeHost(data_) : cudaFree(data_); }
  Floats(const Floats&) = delete;
  Floats& operator=(const Floats&) = delete;
  operator float*() const { return data_; }

 private:
  float* data_;
  bool pinned_;
};

struct Pointers {
  const float* in;
  float* out;
};

inline cudaError_t launch(cudaStream_t stream, void (*kernel)(Pointers), const Pointers& arguments, dim3 blocks = 1, dim3 threads = 1) {
  const cudaLaunchConfig_t config{blocks, threads, 0, stream, nullptr, 0};
  return cudaLaunchKernelEx(&config, kernel, arguments);
}

inline void run(void (*kernel)(Pointers), const Pointers& arguments, dim3 blocks = 1, dim3 threads = 1) {
  const Stream stream;
  launch(stream, kernel, arguments, blocks, threads);
  stream.wait();
}
