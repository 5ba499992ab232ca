// CRC-32 as zip and PNG use it (IEEE 802.3, reflected).
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

namespace clip_es {

// Continues a checksum: returns the checksum of the earlier bytes, which is `crc` (0 for none), followed by `bytes`.
uint32_t crc32(std::span<const std::byte> bytes, uint32_t crc = 0);

}  // namespace clip_es
