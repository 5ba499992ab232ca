// Helpers of the archive tests: temporary files with given bytes, and archives that are built by hand. The checksums of these archives are
// correct, so that tests can put wrong content into them.
#pragma once
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/crc32.h"

namespace fixture {

inline std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw std::runtime_error("cannot read " + path);
  return {std::istreambuf_iterator<char>(in), {}};
}

// A temporary file. The destructor deletes it.
class TemporaryFile {
 public:
  explicit TemporaryFile(std::string_view bytes = {}) : path_((std::filesystem::temp_directory_path() / unused_name()).string()) {
    write(bytes);
  }
  ~TemporaryFile() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  const std::string& path() const { return path_; }

  void write(std::string_view bytes) {
    std::ofstream out(path_, std::ios::binary);
    if (!out.write(bytes.data(), static_cast<std::streamsize>(bytes.size())).flush()) throw std::runtime_error("cannot write " + path_);
  }
  void cut(size_t size) { std::filesystem::resize_file(path_, size); }

 private:
  static std::string unused_name() {
    std::random_device random;
    return "clip-es-test-" + std::to_string(random()) + std::to_string(random());
  }

  std::string path_;
};

template <class T>
std::string bytes_of(T value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}
template <class T>
std::string bytes_of(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

using Records = std::vector<std::pair<std::string, std::string>>;

// A zip file of uncompressed records.
inline std::string make_zip(const Records& records, const std::string& root = "archive/") {
  std::string body, directory;
  for (const auto& [record, data] : records) {
    const std::string name = root + record;
    const std::string size = bytes_of(static_cast<uint32_t>(data.size()));
    const std::string sizes =
        bytes_of(clip_es::crc32(std::as_bytes(std::span(data)))) + size + size + bytes_of(static_cast<uint16_t>(name.size()));
    const std::string flags_method_time(8, '\0');
    directory += "PK\1\2" + std::string(4, '\0') + flags_method_time + sizes + std::string(12, '\0') +
                 bytes_of(static_cast<uint32_t>(body.size())) + name;
    body += "PK\3\4" + std::string(2, '\0') + flags_method_time + sizes + std::string(2, '\0') + name + data;
  }
  const auto count = bytes_of(static_cast<uint16_t>(records.size()));
  return body + directory + "PK\5\6" + std::string(4, '\0') + count + count + bytes_of(static_cast<uint32_t>(directory.size())) +
         bytes_of(static_cast<uint32_t>(body.size())) + std::string(2, '\0');
}

// Pickle instructions.
inline std::string text(std::string_view value) { return 'X' + bytes_of(static_cast<uint32_t>(value.size())) + std::string(value); }
inline std::string integer(int64_t value) { return "\x8a\x08" + bytes_of(value); }
inline std::string integers(const std::vector<int64_t>& values) {
  std::string code = "(";
  for (const int64_t value : values) code += integer(value);
  return code + "t";
}

struct TensorCode {
  std::vector<int64_t> shape, strides;
  int64_t first = 0;
  int64_t storage_elements = 0;
  std::string storage = "FloatStorage";
  std::string key = "0";
};

inline std::string tensor(const TensorCode& t) {
  return "ctorch._utils\n_rebuild_tensor_v2\n((" + text("storage") + "ctorch\n" + t.storage + "\n" + text(t.key) + text("cpu") +
         integer(t.storage_elements) + "tQ" + integer(t.first) + integers(t.shape) + integers(t.strides) + "\x89}tR";
}

// An archive that holds one tensor, "weight", and its storage.
inline std::string one_tensor(const TensorCode& code, const std::string& storage) {
  return make_zip({{"data.pkl", "\x80\x02}" + text("weight") + tensor(code) + "s."}, {"data/0", storage}});
}

}  // namespace fixture
