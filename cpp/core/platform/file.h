// Files that are read. Paths are UTF-8 on every system.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace clip_es::platform {

enum class FileKind { kRegular, kFolder, kOther };

// A file that is open for reading. It stays readable when another process replaces or deletes it. All functions may be called from several
// threads at the same time. A failure throws SystemError with the system's reason, for example "No such file or directory".
class File {
 public:
  explicit File(const std::string& path);  // does not wait, even if the path is a FIFO without a writer
  ~File();
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  FileKind kind() const { return kind_; }
  uint64_t size() const { return size_; }  // in bytes, when it was opened

  // Reads bytes from `offset` on and returns how many were read. This may be fewer than asked for; it is 0 at the end of the file.
  size_t read(uint64_t offset, std::span<std::byte> out) const;

 private:
  friend class MappedFile;

  intptr_t handle_;  // a file descriptor, or a HANDLE of Windows
  FileKind kind_ = FileKind::kOther;
  uint64_t size_ = 0;
};

// The bytes of a regular file in memory. They are read when they are first used, and processes that map the same file share them. The File
// may be closed before. If another process shortens the file, access to the missing bytes ends this process.
class MappedFile {
 public:
  explicit MappedFile(const File& file);  // throws SystemError
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  std::span<const std::byte> bytes_;
};

bool exists(const std::string& path);

// Writes a file of these parts. Other processes see the file that was there before or the whole new one, also after a loss of power.
// Several processes may write the same file at the same time: one of them wins. Throws SystemError, and leaves the old file as it was.
void write_file(const std::string& path, std::span<const std::span<const std::byte>> parts);

// The content of a small file, or "" if it cannot be read. For files such as those in Linux's /proc, which say that their size is 0.
std::string read_text(const std::string& path);

}  // namespace clip_es::platform
