// Reads the named tensors of a TorchScript archive (a zip of one restricted pickle and raw storages) without running any of
// it: the pickle is interpreted into inert values, tensors are read on demand and converted to float32 on the way.
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

// Where a tensor lies: a strided view into one record of the zip. Strides and `first` count elements.
struct ArchiveTensor {
  DType dtype;
  std::vector<int64_t> shape, strides;
  int64_t first;
  std::string record;  // the zip entry that holds the storage

  int64_t elements() const;
};

std::string to_string(std::span<const int64_t> shape);  // "(768, 512)", "(8,)", "()"

class Archive {
 public:
  // Throws Error: kModelRead when the file cannot be opened or read, kModelFormat (with the path and the reason) for
  // anything that is not such an archive.
  explicit Archive(const std::string& path);

  const std::string& path() const { return zip_.path(); }
  const std::map<std::string, ArchiveTensor, std::less<>>& tensors() const { return tensors_; }

  // The tensor's elements in row-major order as float32. `out` has exactly its size. The record's CRC-32 is verified when it
  // is first read; a bad one, or a dtype that is not a floating-point one, is kModelFormat naming the tensor.
  void read(const std::string& name, std::span<float> out) const;

  // A file that TorchScript's `_extra_files` put beside the code, or nothing.
  std::optional<std::string> extra_file(std::string_view name) const;

  // Tells archives apart: made from the sizes and checksums of all records.
  uint64_t fingerprint() const { return zip_.fingerprint(); }

 private:
  ZipFile zip_;
  std::map<std::string, ArchiveTensor, std::less<>> tensors_;
};

}  // namespace clip_es
