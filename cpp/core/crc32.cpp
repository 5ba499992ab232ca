#include "core/crc32.h"

#include <array>
#include <bit>
#include <cstring>

namespace clip_es {
namespace {

static_assert(std::endian::native == std::endian::little);

// Slicing by 8: one step handles 8 bytes, about 2 GB/s. kTables[k][b] is the checksum of byte b followed by k zero bytes.
using Tables = std::array<std::array<uint32_t, 256>, 8>;
constexpr Tables kTables = [] {
  Tables tables{};
  for (uint32_t b = 0; b < 256; ++b) {
    uint32_t crc = b;
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0u);
    tables[0][b] = crc;
  }
  for (size_t k = 1; k < tables.size(); ++k)
    for (size_t b = 0; b < 256; ++b) tables[k][b] = tables[k - 1][b] >> 8 ^ tables[0][tables[k - 1][b] & 0xff];
  return tables;
}();

uint32_t load(const std::byte* bytes) {
  uint32_t value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

}  // namespace

uint32_t crc32(std::span<const std::byte> bytes, uint32_t crc) {
  const auto& t = kTables;
  crc = ~crc;
  for (; bytes.size() >= 8; bytes = bytes.subspan(8)) {
    const uint32_t low = load(bytes.data()) ^ crc;
    const uint32_t high = load(bytes.data() + 4);
    crc = t[7][low & 0xff] ^ t[6][low >> 8 & 0xff] ^ t[5][low >> 16 & 0xff] ^ t[4][low >> 24] ^ t[3][high & 0xff] ^ t[2][high >> 8 & 0xff] ^
          t[1][high >> 16 & 0xff] ^ t[0][high >> 24];
  }
  for (const std::byte b : bytes) crc = crc >> 8 ^ t[0][(crc ^ static_cast<uint32_t>(b)) & 0xff];
  return ~crc;
}

}  // namespace clip_es
