// The container of a PyTorch archive: a zip, or zip64, whose records lie uncompressed and are read where they are. The file
// is never mapped: one that shrinks while it is read gives an error, not a SIGBUS.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace clip_es {

struct ZipEntry {
  uint64_t offset;  // of the first byte, in the file
  uint64_t size;    // bytes in the file
  uint32_t crc32;
  bool stored;  // false: compressed, so the bytes in the file are not the record's
};

// Not thread-safe: verify() remembers what it has verified.
class ZipFile {
 public:
  using Entries = std::map<std::string, ZipEntry, std::less<>>;

  // Reads the directory. Throws Error kModelRead when the file cannot be opened or read, kModelFormat when it is not a whole
  // zip file, or one whose entries contradict each other.
  explicit ZipFile(const std::string& path);
  ZipFile(const ZipFile&) = delete;
  ZipFile& operator=(const ZipFile&) = delete;

  const std::string& path() const { return path_; }
  const Entries& entries() const { return entries_; }
  const ZipEntry* find(std::string_view name) const;

  // Fills `out` from the entry's bytes as they lie in the file, starting at its byte `offset`; all must lie inside the entry.
  void read(const ZipEntry& entry, uint64_t offset, std::span<std::byte> out) const;

  // Whether a stored entry's bytes have the checksum that the directory gives. Reads the whole entry, the first time only.
  [[nodiscard]] bool verify(const ZipEntry& entry) const;

  // A small record's bytes, verified. Throws Error kModelFormat naming it when it is missing, compressed, damaged, or larger
  // than `limit` bytes.
  std::vector<std::byte> read_whole(std::string_view name, uint64_t limit) const;

  // 64 bits made from the names, sizes and checksums of all entries. The names count without their first folder, which
  // PyTorch calls like the file: a renamed file stays the same archive.
  uint64_t fingerprint() const;

 private:
  struct Descriptor {
    ~Descriptor();
    int fd = -1;
  };
  struct Directory {
    uint64_t offset, size, entries;
  };

  void open();
  Directory find_directory() const;
  Directory find_directory64(uint64_t end_record, const Directory& directory) const;
  void read_directory(const Directory& directory);
  void check_local_headers(const Directory& directory);
  void read_file(uint64_t offset, std::span<std::byte> out) const;
  [[noreturn]] void fail(const std::string& what) const;
  [[noreturn]] void damaged(const std::string& what) const;
  [[noreturn]] void refuse_as_no_zip() const;

  std::string path_;
  Descriptor file_;
  uint64_t size_ = 0;
  Entries entries_;
  mutable std::set<const ZipEntry*> verified_;
};

}  // namespace clip_es
