// Numbers for keys of lattice points: hash tables with open addressing.
#pragma once
#include <algorithm>
#include <bit>
#include <cstdint>
#include <span>

#include "core/arena.h"
#include "mask/tiles.h"
#include "ops/lattice_key.h"

namespace clip_es {

// Keys are fields of small numbers side by side: both halves are needed, or neighbours fall on each other.
inline uint64_t hash_of(ops::Key key) {
  key *= 0x9e3779b97f4a7c15u;  // 2^64 / golden ratio
  key ^= key >> 32;
  key *= 0xd6e8feb86659fd93u;
  return key ^ (key >> 32);
}

// Numbers the distinct keys of one tile in the order they come. An entry holds 16 bits of the hash beside the number.
class TileTable {
 public:
  explicit TileTable(Arena& arena) : entries_(arena.take<uint32_t>(kSize)), keys_(arena.take<ops::Key>(6 * kTileSide * kTileSide)) {}
  void clear() {
    std::fill(entries_.begin(), entries_.end(), kNone);
    count_ = 0;
  }
  uint16_t number(ops::Key key) {
    const uint64_t h = key * 0x9e3779b97f4a7c15u;  // 2^64 / golden ratio: the upper bits depend on all of the key's
    const uint32_t tag = static_cast<uint32_t>(h >> 16) & 0xffff0000u;
    for (size_t at = h >> 49;; at = (at + 1) % kSize) {
      const uint32_t entry = entries_[at];
      if (entry == kNone) {
        keys_[count_] = key;
        entries_[at] = tag | count_;
        return static_cast<uint16_t>(count_++);
      }
      if ((entry & 0xffff0000u) == tag && keys_[entry & 0xffffu] == key) return static_cast<uint16_t>(entry);
    }
  }
  std::span<const ops::Key> keys() const { return keys_.first(count_); }

 private:
  static constexpr size_t kSize = 32768;
  static constexpr uint32_t kNone = 0xffffffffu;
  std::span<uint32_t> entries_;
  std::span<ops::Key> keys_;
  uint32_t count_ = 0;
};

// Numbers the distinct keys of one group of lattice points, in the order they come, and keeps each. The memory is the caller's: as many
// numbers as places() says, and keys for as many as there may be.
class PointTable {
 public:
  static size_t places(size_t most_keys) { return std::bit_ceil(most_keys * 3 / 2 + 1); }

  PointTable(std::span<uint32_t> numbers, ops::Key* keys) : mask_(numbers.size() - 1), numbers_(numbers.data()), keys_(keys) {
    std::fill(numbers.begin(), numbers.end(), kNone);
  }
  uint32_t number(ops::Key key) {
    for (size_t at = hash_of(key) & mask_;; at = (at + 1) & mask_) {
      const uint32_t number = numbers_[at];
      if (number == kNone) {
        keys_[count_] = key;
        return numbers_[at] = count_++;
      }
      if (keys_[number] == key) return number;
    }
  }
  uint32_t count() const { return count_; }

 private:
  static constexpr uint32_t kNone = 0xffffffffu;

  size_t mask_;
  uint32_t* numbers_;
  ops::Key* keys_;
  uint32_t count_ = 0;
};

}  // namespace clip_es
