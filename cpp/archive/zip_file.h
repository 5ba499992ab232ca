// The container of a PyTorch archive: a zip or zip64 file with uncompressed records. The file is read, and not mapped into memory: if it
// becomes shorter while it is used, reading throws an error, but access to a mapping would raise SIGBUS.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "archive/input_file.h"

namespace clip_es {

struct ZipEntry {
  uint64_t offset;  // of the first byte of the data in the file
  uint64_t size;    // bytes in the file
  uint32_t crc32;
  bool stored;  // not compressed: the bytes in the file are the record
};

// Not thread-safe: verify() remembers the entries that it has verified.
class ZipFile {
 public:
  using Entries = std::map<std::string, ZipEntry, std::less<>>;

  // Reads the directory. Throws Error kModelRead when the file cannot be opened or read, and kModelFormat when it is not a complete zip
  // file with consistent entries.
  explicit ZipFile(const std::string& path);
  ZipFile(const ZipFile&) = delete;
  ZipFile& operator=(const ZipFile&) = delete;

  const std::string& path() const { return file_.path(); }
  const Entries& entries() const { return entries_; }
  const ZipEntry* find(std::string_view name) const;

  // Fills `out` with the bytes of the entry from `offset` on, as the file stores them. The range must lie inside the entry.
  void read(const ZipEntry& entry, uint64_t offset, std::span<std::byte> out) const;

  // Whether the bytes of a stored entry match the checksum in the directory. Only the first call reads the entry.
  [[nodiscard]] bool verify(const ZipEntry& entry) const;

  // The verified bytes of a small record. Throws Error kModelFormat with its name when it is missing, compressed, damaged, or larger
  // than `limit` bytes.
  std::vector<std::byte> read_whole(std::string_view name, uint64_t limit) const;

  // A hash of the names, sizes and checksums of all entries. Names are hashed without their first folder, which PyTorch names after the
  // file, so a renamed archive keeps its fingerprint.
  uint64_t fingerprint() const;

 private:
  struct Directory {
    uint64_t offset, size, entries;
  };

  Directory find_directory() const;
  Directory find_directory64(uint64_t end_record, const Directory& directory) const;
  void read_directory(const Directory& directory);
  void check_local_headers(const Directory& directory);
  [[noreturn]] void fail(const std::string& what) const;
  [[noreturn]] void damaged(const std::string& what) const;
  [[noreturn]] void refuse_as_no_zip() const;

  InputFile file_;
  Entries entries_;
  mutable std::set<const ZipEntry*> verified_;
};

}  // namespace clip_es
