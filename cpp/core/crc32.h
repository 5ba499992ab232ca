// CRC-32 as zip and PNG use it (IEEE 802.3, reflected).
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

namespace clip_es {

// Continues a checksum. `crc` is the checksum of the bytes before `bytes`, or 0. Returns the checksum of both parts together.
uint32_t crc32(std::span<const std::byte> bytes, uint32_t crc = 0);

}  // namespace clip_es
