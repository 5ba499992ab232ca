// Files, memory, threads, libraries and environment variables, on the system that runs the tests.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "archive_fixture.h"
#include "check.h"
#include "core/platform/environment.h"
#include "core/platform/file.h"
#include "core/platform/library.h"
#include "core/platform/memory.h"
#include "core/platform/system_error.h"
#include "core/platform/threads.h"

namespace clip_es::platform_test {

namespace fs = std::filesystem;

namespace {

// A name outside of every 8-bit code page, in UTF-8: Greek, Japanese, and a character of two UTF-16 units.
const std::u8string kName = u8"clip-es-\u03b1\u65e5\U0001f418.bin";

std::string utf8(const fs::path& path) {
  const std::u8string text = path.u8string();
  return {text.begin(), text.end()};
}

// A folder whose name is not ASCII. The destructor deletes it.
struct TemporaryFolder {
  fs::path path;
  TemporaryFolder() : path(fs::temp_directory_path() / (kName + fs::path(fixture::TemporaryFile().path()).filename().u8string())) {
    fs::create_directories(path);
  }
  ~TemporaryFolder() { fs::remove_all(path); }
};

std::string read_all(const platform::File& file) {
  std::string bytes(file.size() + 10, '?');
  const size_t count = file.read(0, std::as_writable_bytes(std::span(bytes)));
  bytes.resize(count);
  return bytes;
}

std::string reason_to_refuse(const std::string& path) {
  try {
    const platform::File file(path);
  } catch (const platform::SystemError& error) {
    return error.what();
  }
  return "opened";
}

}  // namespace

TEST("a file whose path is not ASCII is opened, read at an offset and mapped") {
  const TemporaryFolder folder;
  const fs::path path = folder.path / kName;
  std::ofstream(path, std::ios::binary) << "0123456789";
  CHECK(platform::exists(utf8(path)) && platform::exists(utf8(folder.path)) && !platform::exists(utf8(path) + "x"));
  std::optional<platform::File> file(std::in_place, utf8(path));
  CHECK(file->kind() == platform::FileKind::kRegular && file->size() == 10);
  CHECK(read_all(*file) == "0123456789");
  char part[4] = {};
  CHECK(file->read(7, std::as_writable_bytes(std::span(part))) == 3);
  CHECK(std::string(part, 3) == "789");
  CHECK(file->read(10, std::as_writable_bytes(std::span(part))) == 0);
  CHECK(file->read(1000, std::as_writable_bytes(std::span(part))) == 0);
  const platform::MappedFile mapped(*file);
  file.reset();
  CHECK(std::string(reinterpret_cast<const char*>(mapped.bytes().data()), mapped.bytes().size()) == "0123456789");
}

TEST("a path of more than 260 characters is opened") {
  const TemporaryFolder folder;
  const fs::path deep = folder.path / std::string(120, 'a') / std::string(120, 'b') / std::string(120, 'c');
  fs::path made = folder.path;
  std::error_code failure;
  fs::create_directories(deep, failure);
  if (failure) check::skip("this system cannot make a path of more than 260 characters: " + failure.message());
  std::ofstream(deep / kName, std::ios::binary) << "deep";
  CHECK(read_all(platform::File(utf8(deep / kName))) == "deep");
}

TEST("an empty file maps to no bytes, and a folder is told from a file") {
  const fixture::TemporaryFile empty;
  const platform::File file(empty.path());
  CHECK(file.size() == 0 && platform::MappedFile(file).bytes().empty());
  CHECK(platform::File(utf8(fs::temp_directory_path())).kind() == platform::FileKind::kFolder);
}

TEST("a file that cannot be opened gives the system's reason") {
  CHECK(reason_to_refuse("no/such/file") == "No such file or directory");
  CHECK(reason_to_refuse("") == "No such file or directory");
}

TEST("an open file stays readable after it was deleted") {
  const TemporaryFolder folder;
  const fs::path path = folder.path / "file";
  std::ofstream(path, std::ios::binary) << "still here";
  const platform::File file(utf8(path));
  CHECK(fs::remove(path));
  CHECK(read_all(file) == "still here");
}

TEST("a file of more than 4 GB is read behind its 4th gigabyte") {
  const TemporaryFolder folder;
  const fs::path path = folder.path / "sparse";
  const uint64_t at = (uint64_t{5} << 30) + 7;
  std::ofstream out(path, std::ios::binary);
  out.seekp(static_cast<std::streamoff>(at));
  out << "end";
  out.close();
  const platform::File file(utf8(path));
  char part[3] = {};
  CHECK(file.size() == at + 3 && file.read(at, std::as_writable_bytes(std::span(part))) == 3 && std::string(part, 3) == "end");
}

TEST("the memory of this process grows when it uses more, and is below the limit") {
  const size_t limit = platform::memory_limit(), before = platform::resident_bytes();
  CHECK(limit >= (size_t{64} << 20) && before > 0 && before < limit);
  constexpr size_t kBytes = size_t{64} << 20;
  std::vector<char> used(kBytes, 1);
  platform::advise_huge_pages(used.data(), used.size());
  CHECK(platform::resident_bytes() >= before + kBytes / 2);
  CHECK(std::count(used.begin(), used.end(), 1) == static_cast<std::ptrdiff_t>(kBytes));
}

TEST("this process may use one core or more, and no more than the machine has") {
  const int cores = platform::usable_cores();
  CHECK(cores >= 1 && cores <= static_cast<int>(std::thread::hardware_concurrency()));
}

TEST("a thread can lower its priority") {
  bool lowered = false;
  std::thread([&] { lowered = platform::lower_thread_priority(); }).join();
  CHECK(lowered);
}

TEST("a file that is not a library is refused with the system's reason") {
  const fixture::TemporaryFile file("not a library");
  for (const std::string& path : {file.path(), std::string("no/such/library")}) {
    std::string reason;
    try {
      platform::open_library(path);
    } catch (const platform::SystemError& error) {
      reason = error.what();
    }
    CHECK(!reason.empty());
  }
}

TEST("the folder of this program contains it") {
  const std::string folder = platform::own_folder();
  bool found = false;
  for (const auto& entry : fs::directory_iterator(fs::path(std::u8string(folder.begin(), folder.end()))))
    found = found || entry.path().stem() == "clip_es_test";
  CHECK(found);
}

TEST("an environment variable is read, and is empty when it is not set") {
  CHECK(!platform::environment_variable("PATH").empty());
  CHECK(platform::environment_variable("CLIP_ES_NO_SUCH_VARIABLE").empty());
}

}  // namespace clip_es::platform_test
