// The one workspace of a segmenter: scratch memory that is taken in order, given back by scope, and grown only. After the
// first image of a size, further ones allocate nothing.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace clip_es {

struct FreeAligned {
  void operator()(void* p) const;
};
using AlignedBytes = std::unique_ptr<std::byte[], FreeAligned>;

// 64-byte aligned, not initialised. Throws Error kOutOfMemory, naming the size, when the machine has not that much.
AlignedBytes allocate_aligned(size_t bytes);

// Where an arena's chunks come from: the machine's memory or a GPU's.
struct MemorySource {
  std::function<std::shared_ptr<std::byte>(size_t bytes)> allocate;  // 64-byte aligned; throws Error kOutOfMemory
  size_t limit;                                                      // bytes that there are at all
};
MemorySource host_memory();

class Arena {
 public:
  explicit Arena(MemorySource source = host_memory()) : source_(std::move(source)) {}

  // The memory lives until the enclosing Scope ends. Not initialised.
  template <class T>
  std::span<T> take(size_t count) {
    return {reinterpret_cast<T*>(take_bytes(count, sizeof(T))), count};
  }

  // Gives back at its end what was taken since its start.
  class Scope {
   public:
    explicit Scope(Arena& arena) : arena_(arena), chunk_(arena.chunk_), used_(arena.used_) {}
    ~Scope() { arena_.give_back(chunk_, used_); }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Arena& arena_;
    size_t chunk_, used_;
  };

  size_t capacity() const;                               // bytes held
  uint64_t allocations() const { return allocations_; }  // how often memory was asked of the system, ever

 private:
  struct Chunk {
    std::shared_ptr<std::byte> bytes;
    size_t size;
  };
  std::byte* take_bytes(size_t count, size_t size);
  void give_back(size_t chunk, size_t used);

  MemorySource source_;
  std::vector<Chunk> chunks_;
  size_t chunk_ = 0, used_ = 0;  // the chunk in use and the bytes taken of it; earlier chunks are full
  uint64_t allocations_ = 0;
};

}  // namespace clip_es
