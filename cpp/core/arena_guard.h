// For tests: arenas in host memory leave a gap behind each piece and find out who wrote to it. AddressSanitizer also reports who reads it.
#pragma once
#include <compare>
#include <cstddef>

namespace clip_es {

constexpr size_t kGuardGap = 1024;  // bytes, at least

// Call it before the first arena takes memory. From now on, each piece of host memory is filled with NaN, and the program ends when a scope
// releases a piece behind which someone has written.
void guard_host_memory();
bool host_memory_is_guarded();

// How much of an arena is in use.
struct ArenaPosition {
  size_t chunk, used;
  auto operator<=>(const ArenaPosition&) const = default;
};

// `end` is where the gap behind the piece ends. before: the position before the piece was taken.
void guard_piece(std::byte* piece, size_t bytes, std::byte* end, ArenaPosition before);
// Ends the program if the gap that ends here was written to. Returns the position before its piece was taken.
ArenaPosition check_gap(std::byte* end);

}  // namespace clip_es
