// Files, libraries and environment variables on Linux and macOS.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "core/platform/environment.h"
#include "core/platform/file.h"
#include "core/platform/library.h"
#include "core/platform/system_error.h"

namespace clip_es::platform {
namespace {

[[noreturn]] void throw_errno() { throw SystemError(std::strerror(errno)); }

FileKind kind_of(mode_t mode) {
  if (S_ISREG(mode)) return FileKind::kRegular;
  return S_ISDIR(mode) ? FileKind::kFolder : FileKind::kOther;
}

// About the program or library that contains this code. dli_fname is null if the system does not know it.
Dl_info self() {
  Dl_info info{};
  dladdr(reinterpret_cast<const void*>(&own_folder), &info);
  return info;
}

// A new file. Its destructor deletes it unless it was renamed.
class NewFile {
 public:
  // The name is unique among processes and threads.
  explicit NewFile(const std::string& path) {
    static std::atomic<unsigned> count = 0;
    path_ = path + "." + std::to_string(getpid()) + "-" + std::to_string(count++) + ".tmp";
    handle_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (handle_ < 0) throw_errno();
  }
  ~NewFile() {
    if (handle_ >= 0) ::close(handle_);
    if (!path_.empty()) unlink(path_.c_str());
  }
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;

  void write(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const ssize_t count = ::write(handle_, bytes.data(), bytes.size());
      if (count < 0 && errno != EINTR) throw_errno();
      if (count > 0) bytes = bytes.subspan(static_cast<size_t>(count));
    }
  }
  void rename_to(const std::string& path) {
    if (fsync(handle_) != 0 || ::close(std::exchange(handle_, -1)) != 0 || rename(path_.c_str(), path.c_str()) != 0) throw_errno();
    path_.clear();
  }

 private:
  std::string path_;
  int handle_ = -1;
};

}  // namespace

// Without O_NONBLOCK, open() would wait for a writer of a FIFO.
File::File(const std::string& path) : handle_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
  if (handle_ < 0) throw_errno();
  struct stat status;
  if (fstat(static_cast<int>(handle_), &status) != 0) {
    const int error = errno;
    ::close(static_cast<int>(handle_));
    errno = error;
    throw_errno();
  }
  kind_ = kind_of(status.st_mode);
  size_ = static_cast<uint64_t>(status.st_size);
}

File::~File() { ::close(static_cast<int>(handle_)); }

size_t File::read(uint64_t offset, std::span<std::byte> out) const {
  for (;;) {
    const ssize_t count = pread(static_cast<int>(handle_), out.data(), out.size(), static_cast<off_t>(offset));
    if (count >= 0) return static_cast<size_t>(count);
    if (errno != EINTR) throw_errno();
  }
}

MappedFile::MappedFile(const File& file) {
  if (file.size() == 0) return;  // mmap() refuses a length of 0
  void* p = mmap(nullptr, file.size(), PROT_READ, MAP_SHARED, static_cast<int>(file.handle_), 0);
  if (p == MAP_FAILED) throw_errno();
  bytes_ = {static_cast<const std::byte*>(p), static_cast<size_t>(file.size())};
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

bool exists(const std::string& path) {
  struct stat status;
  return stat(path.c_str(), &status) == 0;
}

void write_file(const std::string& path, std::span<const std::span<const std::byte>> parts) {
  NewFile file(path);
  for (const auto part : parts) file.write(part);
  file.rename_to(path);
}

void* open_library(const std::string& path) {
  if (void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) return library;
  throw SystemError(dlerror());
}

void* find_symbol(void* library, const char* name) { return dlsym(library, name); }

std::string own_folder() {
  const char* file = self().dli_fname;
  const char* slash = file ? std::strrchr(file, '/') : nullptr;
  return slash ? std::string(file, slash) : ".";
}

void stay_loaded() {
  if (const char* file = self().dli_fname) dlopen(file, RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE);
}

std::string environment_variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

}  // namespace clip_es::platform
