#include "files.h"

#include <algorithm>
#include <filesystem>
#include <vector>

#include "core/error.h"
#include "core/platform/file.h"
#include "core/platform/system_error.h"

namespace clip_es::train {

std::string read_file(const std::string& path, size_t limit) try {
  const platform::File file(path);
  if (file.kind() != platform::FileKind::kRegular) throw platform::SystemError("it is not a regular file");
  std::string content(std::min<size_t>(file.size(), limit), '\0');
  size_t done = 0;
  while (done < content.size()) {
    const size_t count = file.read(done, std::as_writable_bytes(std::span(content)).subspan(done));
    if (count == 0) throw platform::SystemError("it became shorter while it was read");
    done += count;
  }
  return content;
} catch (const platform::SystemError& error) {
  throw Error(ErrorCode::kIo, path + " cannot be read: " + error.what() + "; check that the file is there and readable");
}

void write_file(const std::string& path, std::span<const std::string_view> parts) try {
  std::vector<std::span<const std::byte>> bytes;
  for (const std::string_view part : parts) bytes.push_back(std::as_bytes(std::span(part)));
  platform::write_file(path, bytes);
} catch (const platform::SystemError& error) {
  throw Error(ErrorCode::kIo, path + " cannot be written: " + error.what() +
                                  "; make room or fix the permissions of the folder, and run the same command again: it continues "
                                  "from the last checkpoint");
}

void write_file(const std::string& path, std::string_view content) { write_file(path, std::span(&content, 1)); }

void make_folder(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) throw Error(ErrorCode::kIo, "folder " + path + " cannot be created: " + error.message() + "; choose another folder");
}

}  // namespace clip_es::train
