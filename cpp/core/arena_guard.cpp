#include "core/arena_guard.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, bytes)
#define ASAN_UNPOISON_MEMORY_REGION(address, bytes)
#endif

namespace clip_es {
namespace {

constexpr std::byte kUnset{0xff};  // as float, double or float16 it is a NaN

bool guarded = false;

// The last bytes of a gap.
struct Footer {
  std::byte* gap;
  size_t piece;  // bytes
  ArenaPosition before;
};

}  // namespace

void guard_host_memory() { guarded = true; }
bool host_memory_is_guarded() { return guarded; }

void guard_piece(std::byte* piece, size_t bytes, std::byte* end, ArenaPosition before) {
  std::byte* gap = piece + bytes;
  const Footer footer{gap, bytes, before};
  std::memset(piece, static_cast<int>(kUnset), end - piece);
  std::memcpy(end - sizeof footer, &footer, sizeof footer);
  ASAN_POISON_MEMORY_REGION(gap, end - gap);
}

ArenaPosition check_gap(std::byte* end) {
  Footer footer;
  ASAN_UNPOISON_MEMORY_REGION(end - sizeof footer, sizeof footer);
  std::memcpy(&footer, end - sizeof footer, sizeof footer);
  const std::span gap(footer.gap, end - sizeof footer);
  ASAN_UNPOISON_MEMORY_REGION(gap.data(), gap.size());
  const auto written = std::ranges::find_if(gap, [](std::byte byte) { return byte != kUnset; });
  if (written == gap.end()) return footer.before;
  const std::string message = "byte " + std::to_string(written - gap.begin()) + " behind a piece of " + std::to_string(footer.piece) +
                              " bytes of an arena was written\n";
  std::fputs(message.c_str(), stderr);
  std::abort();
}

}  // namespace clip_es
