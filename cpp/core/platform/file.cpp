// What is the same on every system.
#include "core/platform/file.h"

#include "core/platform/system_error.h"

namespace clip_es::platform {

std::string read_text(const std::string& path) try {
  const File file(path);
  std::string text;
  char part[4096];
  while (const size_t count = file.read(text.size(), std::as_writable_bytes(std::span(part)))) text.append(part, count);
  return text;
} catch (const SystemError&) {
  return "";
}

}  // namespace clip_es::platform
