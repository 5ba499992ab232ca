#include "core/arena.h"

#include <algorithm>
#include <cstdio>
#include <limits>
#include <new>
#include <string>

#include "core/arena_guard.h"
#include "core/error.h"
#include "core/platform/memory.h"

namespace clip_es {
namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kSmallestChunk = size_t{1} << 20;

constexpr size_t kMostGrowth = size_t{64} << 20;
constexpr size_t kLarge = size_t{16} << 20;  // allocations from here on are compared with the memory that is left

size_t memory_limit() {
  static const size_t limit = platform::memory_limit();  // reads files
  return limit;
}

struct HostAllocator {
  std::shared_ptr<std::byte> operator()(size_t bytes) const { return {allocate_aligned(bytes).release(), FreeAligned{}}; }
};

bool is_guarded(const MemorySource& source) { return host_memory_is_guarded() && source.allocate.target<HostAllocator>(); }

[[noreturn]] void fail(double bytes) {
  char size[64];
  std::snprintf(size, sizeof size, bytes < 1e9 ? "%.1f MB" : "%.1f GB", bytes < 1e9 ? bytes / 1e6 : bytes / 1e9);
  throw Error(ErrorCode::kOutOfMemory, std::string("cannot allocate ") + size +
                                           " of memory, because less is available; use a smaller maxSide, fewer labels or a smaller model");
}

}  // namespace

void FreeAligned::operator()(void* p) const { ::operator delete[](p, std::align_val_t{kAlignment}); }

AlignedBytes allocate_aligned(size_t bytes) {
  const size_t used = bytes < kLarge ? 0 : platform::resident_bytes();
  if (bytes > memory_limit() - std::min(memory_limit(), used)) fail(static_cast<double>(bytes));
  void* p = ::operator new[](std::max<size_t>(bytes, 1), std::align_val_t{kAlignment}, std::nothrow);
  if (!p) fail(static_cast<double>(bytes));
  platform::advise_huge_pages(p, bytes);
  return AlignedBytes(static_cast<std::byte*>(p));
}

MemorySource host_memory() { return {HostAllocator{}, memory_limit()}; }

size_t Arena::capacity() const {
  size_t sum = 0;
  for (const Chunk& chunk : chunks_) sum += chunk.size;
  return sum;
}

std::byte* Arena::take_bytes(size_t count, size_t size) {
  if (count > std::numeric_limits<size_t>::max() / 2 / size) fail(static_cast<double>(count) * static_cast<double>(size));
  const bool guarded = is_guarded(source_);
  const size_t bytes = (count * size + (guarded ? kGuardGap : 0) + kAlignment - 1) / kAlignment * kAlignment;
  const ArenaPosition before{chunk_, used_};
  ArenaPosition at = before;
  while (at.chunk < chunks_.size() && chunks_[at.chunk].size - at.used < bytes) at = {at.chunk + 1, 0};
  if (at.chunk == chunks_.size()) {
    const size_t capacity = this->capacity();
    const size_t available = source_.limit - std::min(source_.limit, capacity);
    if (bytes > available) fail(static_cast<double>(bytes) + static_cast<double>(capacity));
    // Doubles the capacity, so that the arena stops growing after a few images.
    const size_t growth = std::max(kSmallestChunk, std::min(capacity, kMostGrowth));
    add_chunk(std::max(bytes, std::min(growth, available)));
  }
  std::byte* p = chunks_[at.chunk].bytes.get() + at.used;
  chunk_ = at.chunk;
  used_ = at.used + bytes;
  size_t in_use = used_;
  for (size_t i = 0; i < chunk_; ++i) in_use += chunks_[i].size;
  peak_ = std::max(peak_, in_use);
  if (guarded) guard_piece(p, count * size, p + bytes, before);
  return p;
}

void Arena::add_chunk(size_t bytes) {
  chunks_.push_back({source_.allocate(bytes), bytes});
  ++allocations_;
}

void Arena::release_to(size_t chunk, size_t used) {
  if (is_guarded(source_))
    for (ArenaPosition at{chunk_, used_}; at > ArenaPosition{chunk, used};) at = check_gap(chunks_[at.chunk].bytes.get() + at.used);
  chunk_ = chunk;
  used_ = used;
  if (chunk_ != 0 || used_ != 0 || chunks_.size() < 2) return;
  // No memory is in use. One chunk of the whole size has no gaps for the next image.
  replace_chunks(capacity());
}

void Arena::replace_chunks(size_t bytes) {
  chunks_.clear();
  try {
    add_chunk(bytes);
  } catch (const Error&) {
    // Destructors of scopes call this, so it must not throw. The next take() allocates again and reports the error.
  }
}

void Arena::trim() {
  if (peak_ == 0 || chunk_ != 0 || used_ != 0) return;
  history_.add(peak_);
  peak_ = 0;
  if (capacity() > history_.worth_keeping()) replace_chunks(history_.worth_keeping());
}

}  // namespace clip_es
