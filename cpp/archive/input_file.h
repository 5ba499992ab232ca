// A regular file that is read at given offsets.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "core/platform/file.h"

namespace clip_es {

class InputFile {
 public:
  // Throws Error kModelRead when the file cannot be opened, is empty or is not a regular file.
  explicit InputFile(const std::string& path);

  const std::string& path() const { return path_; }
  uint64_t size() const { return file_.size(); }  // when it was opened

  // Fills `out` with the bytes from `offset` on. Throws Error kModelRead when the file ends before.
  void read(uint64_t offset, std::span<std::byte> out) const;

 private:
  std::string path_;
  platform::File file_;
};

}  // namespace clip_es
