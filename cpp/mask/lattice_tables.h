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
    const uint64_t h = hash_of(key);
    const uint32_t tag = static_cast<uint32_t>(h >> 48) << 16;
    for (size_t at = h % kSize;; at = (at + 1) % kSize) {
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

// Numbers the distinct keys of one group of lattice points. Half of all look-ups are for neighbours that do not exist: a byte of the hash
// for each place, so few bytes that they stay in the cache, answers those. The memory is the caller's: of places() bytes and numbers, and
// for as many keys as there may be and one more, which is only looked at.
class PointTable {
 public:
  static constexpr uint32_t kNone = 0xffffffffu, kUnclear = 0xfffffffeu;
  static size_t places(size_t most_keys) { return std::bit_ceil(most_keys * 3 / 2 + 1); }

  PointTable() = default;
  PointTable(std::span<uint8_t> tags, std::span<uint32_t> numbers, ops::Key* keys)
      : mask_(tags.size() - 1), tags_(tags.data()), numbers_(numbers.data()), keys_(keys) {
    std::fill(tags.begin(), tags.end(), kEmpty);
  }
  uint32_t insert(ops::Key key) {
    const uint64_t h = hash_of(key);
    const uint8_t tag = tag_of(h);
    for (size_t at = h & mask_;; at = (at + 1) & mask_) {
      if (tags_[at] == kEmpty) {
        tags_[at] = tag;
        numbers_[at] = count_;
        keys_[count_] = key;
        return count_++;
      }
      if (tags_[at] == tag && keys_[numbers_[at]] == key) return numbers_[at];
    }
  }
  // What the key's first place says, without a branch: most look-ups end there, and whether they find is a coin's toss.
  uint32_t glance(ops::Key key) const {
    const uint64_t h = hash_of(key);
    const size_t at = h & mask_;
    const uint8_t tag = tags_[at];
    const bool same = tag == tag_of(h);
    const uint32_t number = same ? numbers_[at] : 0;
    const bool here = same & (keys_[number] == key);
    return here ? number : tag == kEmpty ? kNone : kUnclear;
  }
  uint32_t find(ops::Key key) const {
    const uint64_t h = hash_of(key);
    const uint8_t tag = tag_of(h);
    for (size_t at = h & mask_;; at = (at + 1) & mask_) {
      if (tags_[at] == kEmpty) return kNone;
      if (tags_[at] == tag && keys_[numbers_[at]] == key) return numbers_[at];
    }
  }
  std::span<const ops::Key> keys() const { return {keys_, count_}; }

 private:
  static constexpr uint8_t kEmpty = 0;
  static uint8_t tag_of(uint64_t h) { return static_cast<uint8_t>(h >> 56 | 1); }  // from the half that the place does not come from

  size_t mask_ = 0;
  uint8_t* tags_ = nullptr;
  uint32_t* numbers_ = nullptr;
  ops::Key* keys_ = nullptr;
  uint32_t count_ = 0;
};

}  // namespace clip_es
