#include "archive/input_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/error.h"

namespace clip_es {

InputFile::Descriptor::~Descriptor() {
  if (number >= 0) close(number);
}

InputFile::InputFile(const std::string& path) : path_(path) {
  const auto refuse = [this](const std::string& reason) { throw Error(ErrorCode::kModelRead, path_ + ": cannot be opened: " + reason); };
  // Without O_NONBLOCK, open() would wait for a writer of a FIFO.
  descriptor_.number = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  struct stat status;
  if (descriptor_.number < 0 || fstat(descriptor_.number, &status) != 0) refuse(std::strerror(errno));
  if (S_ISDIR(status.st_mode)) refuse(std::strerror(EISDIR));
  if (!S_ISREG(status.st_mode)) refuse("it is not a regular file");
  if (status.st_size == 0) refuse("it is empty; download it again");
  size_ = static_cast<uint64_t>(status.st_size);
}

void InputFile::read(uint64_t offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    const ssize_t count = pread(descriptor_.number, out.data(), out.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw Error(ErrorCode::kModelRead, path_ + ": cannot be read: " + std::strerror(errno));
    if (count == 0)
      throw Error(ErrorCode::kModelRead, path_ + ": became shorter while it was read: it had " + std::to_string(size_) +
                                             " bytes, now it ends before byte " + std::to_string(offset + out.size()));
    offset += static_cast<uint64_t>(count);
    out = out.subspan(count);
  }
}

}  // namespace clip_es
