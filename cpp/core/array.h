// Values that do not change after they were made. They are in memory of their own or in a mapped file. Copies of an Array share the memory.
#pragma once
#include <cstddef>
#include <cstring>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "core/arena.h"

namespace clip_es {

template <class T>
class Array {
 public:
  Array() = default;
  // first: also keeps alive what owns the memory.
  Array(std::shared_ptr<const T> first, size_t size) : first_(std::move(first)), size_(size) {}

  const T* data() const { return first_.get(); }
  size_t size() const { return size_; }
  size_t size_bytes() const { return size_ * sizeof(T); }
  bool empty() const { return size_ == 0; }
  const T& operator[](size_t i) const { return first_.get()[i]; }
  operator std::span<const T>() const { return {data(), size_}; }  // NOLINT: implicit, as for other containers

 private:
  std::shared_ptr<const T> first_;
  size_t size_ = 0;
};

// Nobody may write to the bytes after this call.
inline Array<std::byte> to_array(AlignedBytes bytes, size_t size) {
  return {std::shared_ptr<const std::byte>(bytes.release(), FreeAligned{}), size};
}

// Copies the values into 64-byte aligned memory.
template <class T>
Array<T> to_array(std::span<const T> values) {
  if (values.empty()) return {};
  AlignedBytes bytes = allocate_aligned(values.size_bytes());
  std::memcpy(bytes.get(), values.data(), values.size_bytes());
  return {std::shared_ptr<const T>(reinterpret_cast<const T*>(bytes.release()), [](const T* p) { FreeAligned{}(const_cast<T*>(p)); }),
          values.size()};
}

// Keeps the vector's memory.
template <class T>
Array<T> to_array(std::vector<T> values) {
  const auto owner = std::make_shared<const std::vector<T>>(std::move(values));
  return {std::shared_ptr<const T>(owner, owner->data()), owner->size()};
}

}  // namespace clip_es
