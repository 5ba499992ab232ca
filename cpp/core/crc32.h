// CRC-32 as zip and PNG use it (IEEE 802.3, reflected).
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

namespace clip_es {

// The checksum of `bytes` behind those whose checksum is `crc`; 0 stands for none before them.
uint32_t crc32(std::span<const std::byte> bytes, uint32_t crc = 0);

}  // namespace clip_es
