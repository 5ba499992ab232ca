#include "archive/input_file.h"

#include "core/error.h"
#include "core/platform/system_error.h"

namespace clip_es {
namespace {

[[noreturn]] void refuse(const std::string& path, const std::string& reason) {
  throw Error(ErrorCode::kModelRead, path + ": cannot be opened: " + reason);
}

platform::File open(const std::string& path) try { return platform::File(path); } catch (const platform::SystemError& error) {
  refuse(path, error.what());
}

}  // namespace

InputFile::InputFile(const std::string& path) : path_(path), file_(open(path)) {
  if (file_.kind() == platform::FileKind::kFolder) refuse(path, "Is a directory");
  if (file_.kind() != platform::FileKind::kRegular) refuse(path, "it is not a regular file");
  if (file_.size() == 0) refuse(path, "it is empty; download it again");
}

void InputFile::read(uint64_t offset, std::span<std::byte> out) const try {
  while (!out.empty()) {
    const size_t count = file_.read(offset, out);
    if (count == 0)
      throw Error(ErrorCode::kModelRead, path_ + ": became shorter while it was read: it had " + std::to_string(size()) +
                                             " bytes, now it ends before byte " + std::to_string(offset + out.size()));
    offset += count;
    out = out.subspan(count);
  }
} catch (const platform::SystemError& error) {
  throw Error(ErrorCode::kModelRead, path_ + ": cannot be read: " + error.what());
}

}  // namespace clip_es
