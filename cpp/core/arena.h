// Scratch memory of a segmenter. Stages take memory in order and release it by scope, so taking it is an addition. After
// the first image of a size, further images of that size allocate nothing. Not thread-safe.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "core/memory_history.h"

namespace clip_es {

struct FreeAligned {
  void operator()(void* p) const;
};
using AlignedBytes = std::unique_ptr<std::byte[], FreeAligned>;

// 64-byte aligned, not initialised. Throws Error kOutOfMemory with the size when the machine does not have that much memory.
AlignedBytes allocate_aligned(size_t bytes);

// Where an arena gets its chunks: the memory of the machine or of a GPU.
struct MemorySource {
  std::function<std::shared_ptr<std::byte>(size_t bytes)> allocate;  // 64-byte aligned; throws Error kOutOfMemory
  size_t limit;                                                      // bytes that may be allocated in total
};
MemorySource host_memory();

class Arena {
 public:
  explicit Arena(MemorySource source = host_memory()) : source_(std::move(source)) {}

  // 64-byte aligned, not initialised, valid until the enclosing Scope ends. Throws Error kOutOfMemory; memory taken before stays valid.
  template <class T>
  std::span<T> take(size_t count) {
    return {reinterpret_cast<T*>(take_bytes(count, sizeof(T))), count};
  }

  // At its end, a scope releases the memory that was taken since its start. Scopes must nest.
  class Scope {
   public:
    explicit Scope(Arena& arena) : arena_(arena), chunk_(arena.chunk_), used_(arena.used_) {}
    ~Scope() { arena_.release_to(chunk_, used_); }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Arena& arena_;
    size_t chunk_, used_;
  };

  // Call it after each job, when no memory is in use: an arena that one huge image has enlarged gives back what is not worth keeping.
  void trim();

  size_t capacity() const;                               // bytes of all chunks
  uint64_t allocations() const { return allocations_; }  // number of chunks allocated since construction

 private:
  struct Chunk {
    std::shared_ptr<std::byte> bytes;
    size_t size;
  };
  std::byte* take_bytes(size_t count, size_t size);
  void add_chunk(size_t bytes);
  void replace_chunks(size_t bytes);
  void release_to(size_t chunk, size_t used);

  MemorySource source_;
  std::vector<Chunk> chunks_;
  size_t chunk_ = 0, used_ = 0;  // the current chunk and the bytes taken from it; earlier chunks are full
  uint64_t allocations_ = 0;
  size_t peak_ = 0;  // most bytes in use since the last trim()
  MemoryHistory history_;
};

}  // namespace clip_es
