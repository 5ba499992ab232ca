// Internal to cpp/crf. Hash tables with open addressing that number the keys of lattice points.
#pragma once
#include <algorithm>
#include <bit>
#include <cstdint>
#include <span>

#include "core/arena.h"
#include "crf/tiles.h"
#include "ops/lattice_key.h"

namespace clip_es::crf {

// Fibonacci hashing. Callers use the upper bits, because only these depend on all bits of the key.
inline uint64_t hash_of(ops::Key key) { return key * 0x9e3779b97f4a7c15u; }  // 2^64 / golden ratio

// Numbers the distinct keys of one tile in the order in which they first appear. An entry holds 16 bits of the hash above the number, so
// that most collisions are found without reading the key.
class TileTable {
 public:
  explicit TileTable(Arena& arena) : entries_(arena.take<uint32_t>(kSize)), keys_(arena.take<ops::Key>(6 * kTileSide * kTileSide)) {}
  void clear() {
    std::fill(entries_.begin(), entries_.end(), kNone);
    count_ = 0;
  }
  uint16_t number(ops::Key key) {
    const uint64_t h = hash_of(key);
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

// Numbers the distinct keys of one layer in the order in which they first appear. The caller owns the memory: places(n) numbers and room
// for n keys, where n is the largest possible number of distinct keys.
class PointTable {
 public:
  static constexpr uint32_t kNone = 0xffffffffu;
  static size_t places(size_t most_keys) { return std::bit_ceil(most_keys * 3 / 2 + 2); }

  PointTable(std::span<uint32_t> numbers, ops::Key* keys)
      : mask_(numbers.size() - 1), shift_(64 - std::countr_zero(numbers.size())), numbers_(numbers.data()), keys_(keys) {
    std::fill(numbers.begin(), numbers.end(), kNone);
  }
  uint32_t number(ops::Key key) {
    size_t at = start(key);
    for (; numbers_[at] != kNone; at = (at + 1) & mask_)
      if (keys_[numbers_[at]] == key) return numbers_[at];
    keys_[count_] = key;
    return numbers_[at] = count_++;
  }
  // kNone if the table does not have the key.
  uint32_t find(ops::Key key) const {
    for (size_t at = start(key);; at = (at + 1) & mask_)
      if (const uint32_t number = numbers_[at]; number == kNone || keys_[number] == key) return number;
  }
  // The first step of find() without a branch. matches: the number is the key's. collides: the number is another key's, so use find(). Both
  // are 1 or 0; if both are 0, the table does not have the key.
  struct Probe {
    uint32_t number, matches, collides;
  };
  Probe probe(ops::Key key) const {
    const uint32_t number = numbers_[start(key)], taken = number != kNone;
    const uint32_t same = keys_[number & (0u - taken)] == key;
    return {number, taken & same, taken & (same ^ 1)};
  }
  std::span<const ops::Key> keys() const { return {keys_, count_}; }

 private:
  size_t start(ops::Key key) const { return hash_of(key) >> shift_; }

  size_t mask_;
  int shift_;
  uint32_t* numbers_;
  ops::Key* keys_;
  uint32_t count_ = 0;
};

}  // namespace clip_es::crf
