// Types that distinguish host memory from device memory, so that code on the host cannot read a device's memory by mistake.
#pragma once
#include <cstddef>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>

#include "core/arena.h"

namespace clip_es {

// Memory that the host reads and writes.
template <class T>
using HostSpan = std::span<T>;

// Memory of the device that a stage runs on. It has a length and can be cut into parts, but it cannot be read here. Only the folders
// device/cpu and device/cuda use its address, through DeviceAccess.
template <class T>
class DeviceSpan {
 public:
  DeviceSpan() = default;
  template <class U>
  requires std::is_same_v<T, const U> DeviceSpan(const DeviceSpan<U>& other)
      : address_(other.address_), size_(other.size_) {}  // NOLINT: implicit, as T* to const T*

  size_t size() const { return size_; }
  size_t size_bytes() const { return size_ * sizeof(T); }
  bool empty() const { return size_ == 0; }
  DeviceSpan first(size_t count) const { return {address_, count}; }
  DeviceSpan subspan(size_t offset) const { return {address_ + offset, size_ - offset}; }
  DeviceSpan subspan(size_t offset, size_t count) const { return {address_ + offset, count}; }

 private:
  template <class>
  friend class DeviceSpan;
  friend struct DeviceAccess;
  DeviceSpan(T* address, size_t size) : address_(address), size_(size) {}

  T* address_ = nullptr;
  size_t size_ = 0;
};

// For the folders device/cpu and device/cuda, and for their tests.
struct DeviceAccess {
  template <class T>
  static T* address(const DeviceSpan<T>& span) {
    return span.address_;
  }
  template <class T>
  static DeviceSpan<T> span(T* address, size_t size) {
    return {address, size};
  }
};

// Scratch memory of a device, taken from an arena whose chunks are device memory. On the CPU this is the host's arena.
class DeviceArena {
 public:
  explicit DeviceArena(Arena& arena) : arena_(arena) {}

  // The memory lives until the enclosing Scope ends. Not initialised.
  template <class T>
  DeviceSpan<T> take(size_t count) {
    return DeviceAccess::span(arena_.take<T>(count).data(), count);
  }

  void trim() { arena_.trim(); }  // see Arena

  class Scope {
   public:
    explicit Scope(DeviceArena& arena) : scope_(arena.arena_) {}

   private:
    Arena::Scope scope_;
  };

 private:
  Arena& arena_;
};

// Memory of a device that outlives a call. It grows on demand.
class DeviceBuffer {
 public:
  // Makes room for at least `count` floats. If the buffer has to grow, its contents are lost. Throws Error kOutOfMemory.
  void reserve(const MemorySource& source, size_t count) {
    history_.add(count * sizeof(float));
    if (bytes_ >= count * sizeof(float)) return;
    release();  // freed first, because both together might not fit
    memory_ = source.allocate(count * sizeof(float));
    bytes_ = count * sizeof(float);
  }
  // Call it after each job: a buffer that one huge photo has enlarged is released, until the next reserve().
  void trim() {
    if (bytes_ > history_.worth_keeping()) release();
  }
  DeviceSpan<float> floats() const { return DeviceAccess::span(reinterpret_cast<float*>(memory_.get()), bytes_ / sizeof(float)); }
  size_t bytes() const { return bytes_; }

 private:
  void release() {
    memory_ = nullptr;
    bytes_ = 0;
  }

  std::shared_ptr<std::byte> memory_;
  size_t bytes_ = 0;
  MemoryHistory history_;
};

}  // namespace clip_es
