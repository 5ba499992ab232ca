// Reads the named tensors of a TorchScript archive: a zip file with pickles and raw storages. No code of the archive runs: the pickle is
// interpreted into inert values. Tensors are read on demand and converted to float32.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "archive/zip_file.h"

namespace clip_es {

enum class DType : uint8_t { kFloat16, kBFloat16, kFloat32, kFloat64, kUInt8, kInt8, kInt16, kInt32, kInt64, kBool };

// A strided view of one record of the zip file. Strides and `first`, the offset of the first element, count elements.
struct ArchiveTensor {
  DType dtype;
  std::vector<int64_t> shape, strides;
  int64_t first;
  std::string record;  // the name of the record with the storage

  int64_t elements() const;
};

std::string to_string(std::span<const int64_t> shape);  // "(768, 512)", "(8,)", "()"

class Archive {
 public:
  // Throws Error kModelRead when the file cannot be opened or read, and kModelFormat, with the path and the reason, when it is not a
  // valid archive.
  explicit Archive(const std::string& path);

  const std::string& path() const { return zip_.path(); }
  const std::map<std::string, ArchiveTensor, std::less<>>& tensors() const { return tensors_; }

  // Writes the elements of the tensor to `out` as float32, in row-major order. The first read of a record verifies its CRC-32. Throws
  // Error kModelFormat, with the name of the tensor, if it is missing or damaged, has no floating-point type, or has not out.size()
  // elements.
  void read(const std::string& name, std::span<float> out) const;

  // The text of a file that torch.jit.save wrote from its `_extra_files`, or nothing when the archive has no such file.
  std::optional<std::string> extra_file(std::string_view name) const;

  // Whether torch.jit.save wrote it, as all archives that OpenAI released. A file of torch.save has no code.
  bool is_torchscript() const { return is_torchscript_; }

  // Identifies the archive by the names, sizes and checksums of all records. See ZipFile::fingerprint().
  uint64_t fingerprint() const { return zip_.fingerprint(); }

 private:
  ZipFile zip_;
  bool is_torchscript_ = false;
  std::map<std::string, ArchiveTensor, std::less<>> tensors_;
};

}  // namespace clip_es
