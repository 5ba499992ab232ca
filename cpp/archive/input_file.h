// A regular file that is read at given offsets.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace clip_es {

class InputFile {
 public:
  // Throws Error kModelRead when the file cannot be opened, is empty or is not a regular file.
  explicit InputFile(const std::string& path);
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  const std::string& path() const { return path_; }
  uint64_t size() const { return size_; }  // when it was opened

  // Fills `out` with the bytes from `offset` on. Throws Error kModelRead when the file ends before.
  void read(uint64_t offset, std::span<std::byte> out) const;

 private:
  struct Descriptor {
    ~Descriptor();
    int number = -1;
  };

  std::string path_;
  Descriptor descriptor_;
  uint64_t size_ = 0;
};

}  // namespace clip_es
