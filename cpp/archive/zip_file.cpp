#include "archive/zip_file.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <utility>

#include "core/crc32.h"
#include "core/error.h"

namespace clip_es {
namespace {

static_assert(std::endian::native == std::endian::little, "zip fields and PyTorch's storages are little-endian");

// Layouts: PKWARE's APPNOTE.TXT 6.3.10, section 4.3. The offset of a field is in the code that reads it.
constexpr size_t kLocalHeaderSize = 30;     // 4.3.7
constexpr size_t kDirectoryEntrySize = 46;  // 4.3.12
constexpr size_t kEndRecord64Size = 56;     // 4.3.14
constexpr size_t kEndLocator64Size = 20;    // 4.3.15
constexpr size_t kEndRecordSize = 22;       // 4.3.16
constexpr size_t kLongestComment = 0xffff;
constexpr uint16_t kZip64Extra = 0x0001;  // 4.5.3
constexpr uint16_t kEncrypted = 1 << 0;   // 4.4.4
constexpr uint16_t kMaximum16 = 0xffff;   // means: the value is in the zip64 record
constexpr uint32_t kMaximum32 = 0xffffffff;
constexpr uint64_t kLargestDirectory = 64 << 20;  // our limit, about 500,000 records; a ViT-L/14 has about 1,000
constexpr size_t kVerifiedPiece = 1 << 20;        // bytes read at a time while verifying

template <class T>
T field(std::span<const std::byte> bytes, size_t at) {
  T value;
  std::memcpy(&value, bytes.subspan(at, sizeof value).data(), sizeof value);
  return value;
}

bool has_signature(std::span<const std::byte> bytes, size_t at, const char (&signature)[5]) {
  return std::memcmp(bytes.data() + at, signature, 4) == 0;
}

std::string_view as_text(std::span<const std::byte> bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

bool contains(uint64_t size, uint64_t offset, uint64_t length) { return offset <= size && length <= size - offset; }

// One entry of the directory. `used`: its size in bytes.
struct DirectoryEntry {
  std::string_view name;
  uint16_t flags, method;
  uint32_t crc32;
  uint64_t packed, unpacked, header;
  size_t used;
};

// The extra field has only the values that did not fit, in this order: unpacked size, packed size, offset of the local header.
bool take_zip64_fields(std::span<const std::byte> extra, DirectoryEntry& entry) {
  while (extra.size() >= 4) {
    const size_t size = field<uint16_t>(extra, 2);
    if (size > extra.size() - 4) return false;
    if (field<uint16_t>(extra, 0) == kZip64Extra) {
      std::span<const std::byte> values = extra.subspan(4, size);
      for (uint64_t* value : {&entry.unpacked, &entry.packed, &entry.header}) {
        if (*value != kMaximum32) continue;
        if (values.size() < 8) return false;
        *value = field<uint64_t>(values, 0);
        values = values.subspan(8);
      }
      return true;
    }
    extra = extra.subspan(4 + size);
  }
  return false;
}

// Returns false when the bytes are not a directory entry.
bool parse_directory_entry(std::span<const std::byte> bytes, DirectoryEntry& entry) {
  if (bytes.size() < kDirectoryEntrySize || !has_signature(bytes, 0, "PK\1\2")) return false;
  const size_t name = field<uint16_t>(bytes, 28), extra = field<uint16_t>(bytes, 30), comment = field<uint16_t>(bytes, 32);
  entry.used = kDirectoryEntrySize + name + extra + comment;
  if (entry.used > bytes.size()) return false;
  entry.name = as_text(bytes.subspan(kDirectoryEntrySize, name));
  entry.flags = field<uint16_t>(bytes, 8);
  entry.method = field<uint16_t>(bytes, 10);
  entry.crc32 = field<uint32_t>(bytes, 16);
  entry.packed = field<uint32_t>(bytes, 20);
  entry.unpacked = field<uint32_t>(bytes, 24);
  entry.header = field<uint32_t>(bytes, 42);
  const bool wide = entry.packed == kMaximum32 || entry.unpacked == kMaximum32 || entry.header == kMaximum32;
  return !wide || take_zip64_fields(bytes.subspan(kDirectoryEntrySize + name, extra), entry);
}

// Describes a file of another format that users pass by mistake. Its first bytes show the format. Returns nullptr for other files.
const char* name_other_format(std::string_view start) {
  constexpr std::string_view kLegacyMagic{"\x80\x02\x8a\x0al\xfc\x9c\x46\xf9\x20j\xa8\x50\x19", 14};
  if (start.starts_with(kLegacyMagic))
    return "is a torch.save file from before PyTorch 1.6; load it in Python and write an archive with tools/export_archive.py";
  if (start.size() >= 2 && start[0] == '\x80' && start[1] >= 2 && start[1] <= 5)
    return "is a bare Python pickle; load it in Python and write an archive with tools/export_archive.py";
  if (start.size() > 8 && start[8] == '{' && start.substr(4, 4) == std::string_view("\0\0\0\0", 4))
    return "is a safetensors file; write an archive from it with tools/export_archive.py";
  if (start.starts_with("version https://git-lfs")) return "is a Git LFS pointer instead of the archive; run: git lfs pull";
  if (start.starts_with("<!DOCTYPE") || start.starts_with("<!doctype") || start.starts_with("<html"))
    return "is a web page instead of an archive; download the archive again";
  if (start.starts_with("PK\3\4")) return "is cut short: the directory at the zip's end is missing; download it again";
  return nullptr;
}

}  // namespace

ZipFile::ZipFile(const std::string& path) : file_(path) {
  const Directory directory = find_directory();
  read_directory(directory);
  check_local_headers(directory);
}

const ZipEntry* ZipFile::find(std::string_view name) const {
  const auto found = entries_.find(name);
  return found == entries_.end() ? nullptr : &found->second;
}

void ZipFile::read(const ZipEntry& entry, uint64_t offset, std::span<std::byte> out) const {
  if (!contains(entry.size, offset, out.size())) damaged("a read reaches outside its record");
  file_.read(entry.offset + offset, out);
}

bool ZipFile::verify(const ZipEntry& entry) const {
  if (verified_.contains(&entry)) return true;
  std::vector<std::byte> piece(std::min<uint64_t>(kVerifiedPiece, entry.size));
  uint32_t crc = 0;
  for (uint64_t done = 0; done < entry.size;) {
    const auto bytes = std::span(piece).first(std::min<uint64_t>(kVerifiedPiece, entry.size - done));
    read(entry, done, bytes);
    crc = clip_es::crc32(bytes, crc);
    done += bytes.size();
  }
  if (crc != entry.crc32) return false;
  verified_.insert(&entry);
  return true;
}

std::vector<std::byte> ZipFile::read_whole(std::string_view name, uint64_t limit) const {
  const std::string record(name);
  const ZipEntry* entry = find(name);
  if (!entry) fail("record " + record + " is missing; write the archive again");
  if (!entry->stored) fail("record " + record + " is compressed; PyTorch does not compress records: write the archive again");
  if (entry->size > limit)
    fail("record " + record + " has " + std::to_string(entry->size) + " bytes, expected at most " + std::to_string(limit));
  std::vector<std::byte> bytes(entry->size);
  read(*entry, 0, bytes);
  if (clip_es::crc32(bytes) != entry->crc32) damaged("record " + record + " is damaged (CRC-32 differs)");
  verified_.insert(entry);
  return bytes;
}

uint64_t ZipFile::fingerprint() const {
  uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  const auto add = [&hash](std::string_view bytes) {
    for (const char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  };
  for (const auto& [name, entry] : entries_) {
    add(std::string_view(name).substr(name.find('/') + 1));  // the whole name when it has no folder
    add(std::string_view("\0", 1));
    add(std::to_string(entry.size) + ' ' + std::to_string(entry.crc32) + '\n');
  }
  return hash;
}

// The end record is at the end of the file. Only its comment may follow it.
ZipFile::Directory ZipFile::find_directory() const {
  std::vector<std::byte> tail(std::min<uint64_t>(file_.size(), kEndRecordSize + kLongestComment));
  const uint64_t tail_start = file_.size() - tail.size();
  file_.read(tail_start, tail);
  for (size_t left = tail.size(); left >= kEndRecordSize; --left) {
    const size_t at = left - kEndRecordSize;
    if (!has_signature(tail, at, "PK\5\6")) continue;
    const auto record = std::span<const std::byte>(tail).subspan(at);
    if (kEndRecordSize + field<uint16_t>(record, 20) != record.size()) continue;
    const Directory directory{field<uint32_t>(record, 16), field<uint32_t>(record, 12), field<uint16_t>(record, 10)};
    const bool whole = field<uint16_t>(record, 4) == 0 && field<uint16_t>(record, 8) == directory.entries;
    if (!whole) fail("it is one part of a split zip file; join the parts");
    return find_directory64(tail_start + at, directory);
  }
  refuse_as_no_zip();
}

// PyTorch always writes the zip64 end record and its locator in addition to the old end record, which has all ones in each field whose
// value does not fit.
ZipFile::Directory ZipFile::find_directory64(uint64_t end_record, const Directory& directory) const {
  const bool wide = directory.offset == kMaximum32 || directory.size == kMaximum32 || directory.entries == kMaximum16;
  const auto agree = [](uint64_t narrow, uint64_t all_ones, uint64_t value) { return narrow == all_ones || narrow == value; };
  std::array<std::byte, kEndLocator64Size> locator{};
  std::array<std::byte, kEndRecord64Size> record{};
  Directory found = directory;
  uint64_t limit = end_record;
  if (end_record >= locator.size()) file_.read(end_record - locator.size(), locator);
  if (has_signature(locator, 0, "PK\6\7")) {
    limit = field<uint64_t>(locator, 8);
    if (!contains(end_record - locator.size(), limit, record.size())) damaged("its zip64 end record lies outside the file");
    file_.read(limit, record);
    if (!has_signature(record, 0, "PK\6\6")) damaged("its zip64 end record is damaged");
    found = {field<uint64_t>(record, 48), field<uint64_t>(record, 40), field<uint64_t>(record, 32)};
    if (!agree(directory.offset, kMaximum32, found.offset) || !agree(directory.size, kMaximum32, found.size) ||
        !agree(directory.entries, kMaximum16, found.entries))
      damaged("its two zip end records disagree");
  } else if (wide) {
    damaged("its zip64 end record is missing");
  }
  if (!contains(limit, found.offset, found.size)) damaged("the zip's directory lies outside the file");
  if (found.size > kLargestDirectory)
    fail("the zip's directory has " + std::to_string(found.size) + " bytes, more than any model has; save only the weights");
  return found;
}

void ZipFile::read_directory(const Directory& directory) {
  std::vector<std::byte> bytes(directory.size);
  file_.read(directory.offset, bytes);
  std::span<const std::byte> rest = bytes;
  for (uint64_t i = 0; i < directory.entries; ++i) {
    DirectoryEntry entry;
    if (!parse_directory_entry(rest, entry)) damaged("entry " + std::to_string(i) + " of the zip's directory is damaged");
    rest = rest.subspan(entry.used);
    const std::string name(entry.name);
    if (entry.flags & kEncrypted) fail("record " + name + " is encrypted; write the archive without a password");
    const bool stored = entry.method == 0;
    if (stored && entry.packed != entry.unpacked) damaged("the sizes of record " + name + " contradict each other");
    // The offset of the local header; check_local_headers() replaces it with the offset of the data.
    if (!entries_.emplace(name, ZipEntry{entry.header, entry.packed, entry.crc32, stored}).second)
      fail("two records are named " + name + "; write the archive again");
  }
  if (!rest.empty()) damaged("the zip directory has " + std::to_string(rest.size()) + " unexpected bytes after its entries");
}

// Checks entries in file order, so that each must end before the next one or the directory begins.
void ZipFile::check_local_headers(const Directory& directory) {
  std::vector<std::pair<const std::string, ZipEntry>*> order;
  for (auto& named : entries_) order.push_back(&named);
  std::sort(order.begin(), order.end(), [](auto* a, auto* b) { return a->second.offset < b->second.offset; });
  std::vector<std::byte> bytes;
  for (size_t i = 0; i < order.size(); ++i) {
    auto& [name, entry] = *order[i];
    const uint64_t limit = i + 1 < order.size() ? order[i + 1]->second.offset : directory.offset;
    bytes.resize(kLocalHeaderSize + name.size());
    if (!contains(limit, entry.offset, bytes.size())) damaged("record " + name + " overlaps the next record or the directory");
    file_.read(entry.offset, bytes);
    const bool same_name = field<uint16_t>(bytes, 26) == name.size() && as_text(bytes).ends_with(name);
    const bool same_method = (field<uint16_t>(bytes, 8) == 0) == entry.stored;
    if (!has_signature(bytes, 0, "PK\3\4") || !same_name || !same_method)
      damaged("the header of record " + name + " contradicts the zip's directory");
    entry.offset += bytes.size() + field<uint16_t>(bytes, 28);
    if (!contains(limit, entry.offset, entry.size)) damaged("record " + name + " overlaps the next record or the directory");
  }
}

void ZipFile::fail(const std::string& what) const { throw Error(ErrorCode::kModelFormat, path() + ": " + what); }

void ZipFile::damaged(const std::string& what) const { fail(what + "; download the archive again"); }

void ZipFile::refuse_as_no_zip() const {
  std::array<std::byte, 64> start{};
  const auto bytes = std::span(start).first(std::min<uint64_t>(start.size(), file_.size()));
  file_.read(0, bytes);
  if (const char* other = name_other_format(as_text(bytes))) throw Error(ErrorCode::kModelFormat, path() + " " + other);
  throw Error(ErrorCode::kModelFormat, path() +
                                           " is not a TorchScript archive (not a zip file, or cut short): download it again, "
                                           "or write one with tools/export_archive.py");
}

}  // namespace clip_es
