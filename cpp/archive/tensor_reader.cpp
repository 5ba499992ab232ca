#include "archive/tensor_reader.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "core/float16.h"

namespace clip_es {
namespace {

constexpr uint64_t kPiece = 1 << 20;  // bytes read at a time

// The stored types: their bits and their value as float32.
struct Float16 {
  uint16_t bits;
  float value() const { return float16_to_float(bits); }
};

struct BFloat16 {
  uint16_t bits;
  float value() const { return bfloat16_to_float(bits); }
};

struct Float32 {
  float bits;
  float value() const { return bits; }
};

struct Float64 {
  double bits;
  float value() const { return static_cast<float>(bits); }
};

// A dimension of the view: `size` elements, with a distance of `stride` elements in the record and `out_stride` in the output.
struct Axis {
  int64_t size, stride, out_stride;
};

// Returns the dimensions sorted by their stride in the record, the smallest last. So a transposed matrix is also read from front to back.
// Adjacent dimensions without a gap are merged: a contiguous tensor has a single axis.
std::vector<Axis> axes_in_record_order(const ArchiveTensor& tensor) {
  std::vector<Axis> axes;
  int64_t out_stride = 1;
  for (size_t d = tensor.shape.size(); d-- > 0; out_stride *= tensor.shape[d])
    if (tensor.shape[d] != 1) axes.insert(axes.begin(), {tensor.shape[d], tensor.strides[d], out_stride});
  std::stable_sort(axes.begin(), axes.end(), [](const Axis& a, const Axis& b) { return a.stride > b.stride; });
  std::vector<Axis> merged;
  for (const Axis& axis : axes) {
    const bool continues =
        !merged.empty() && merged.back().stride == axis.size * axis.stride && merged.back().out_stride == axis.size * axis.out_stride;
    if (continues) merged.back() = {merged.back().size * axis.size, axis.stride, axis.out_stride};
    else merged.push_back(axis);
  }
  if (merged.empty()) merged.push_back({1, 1, 1});  // a single element
  return merged;
}

// The part of the record that is in memory. It moves to each element that is not in it. Positions count elements of T.
template <class T>
class Window {
 public:
  // `end`: the position after the last element that will be read.
  Window(const ZipFile& zip, const ZipEntry& record, int64_t end)
      : zip_(zip), record_(record), end_(end), bytes_(std::min<uint64_t>(kPiece, static_cast<uint64_t>(end) * sizeof(T))) {}

  // The raw bytes of the elements from `first` on: at least one element.
  std::span<const std::byte> from(int64_t first) {
    if (first < start_ || first >= start_ + count_) load(first);
    return std::span<const std::byte>(bytes_).first(size_of(count_)).subspan(size_of(first - start_));
  }

 private:
  static size_t size_of(int64_t elements) { return elements * sizeof(T); }

  void load(int64_t first) {
    start_ = first;
    count_ = std::min(end_ - first, static_cast<int64_t>(bytes_.size() / sizeof(T)));
    zip_.read(record_, size_of(first), std::span(bytes_).first(size_of(count_)));
  }

  const ZipFile& zip_;
  const ZipEntry& record_;
  int64_t end_, start_ = 0, count_ = 0;
  std::vector<std::byte> bytes_;
};

template <class T>
float element(const std::byte* bytes) {
  T stored;
  std::memcpy(&stored, bytes, sizeof stored);
  return stored.value();
}

// Converts one run along an axis. Adjacent elements have a loop of their own, which the compiler can vectorise.
template <class T>
void convert_run(Window<T>& window, int64_t first, const Axis& axis, float* out) {
  for (int64_t done = 0; done < axis.size;) {
    const std::span<const std::byte> bytes = window.from(first + done * axis.stride);
    const int64_t there = static_cast<int64_t>(bytes.size() / sizeof(T));
    const int64_t fitting = axis.stride == 0 ? axis.size : (there + axis.stride - 1) / axis.stride;
    const int64_t count = std::min(axis.size - done, fitting);
    const std::byte* from = bytes.data();
    float* to = out + done * axis.out_stride;
    if (axis.stride == 1 && axis.out_stride == 1) {
      for (int64_t i = 0; i < count; ++i) to[i] = element<T>(from + i * sizeof(T));
    } else {
      const int64_t step = axis.stride * sizeof(T);
      for (int64_t i = 0; i < count; ++i) to[i * axis.out_stride] = element<T>(from + i * step);
    }
    done += count;
  }
}

// The start of a run. next() counts through the outer axes like an odometer.
struct Position {
  int64_t record, out;
  std::vector<int64_t> index;

  // Returns false after the last run.
  bool next(std::span<const Axis> axes) {
    for (size_t d = axes.size(); d-- > 0;) {
      record += axes[d].stride;
      out += axes[d].out_stride;
      if (++index[d] < axes[d].size) return true;
      index[d] = 0;
      record -= axes[d].size * axes[d].stride;
      out -= axes[d].size * axes[d].out_stride;
    }
    return false;
  }
};

template <class T>
void read_as(const ZipFile& zip, const ZipEntry& record, const ArchiveTensor& tensor, std::span<float> out) {
  const std::vector<Axis> axes = axes_in_record_order(tensor);
  int64_t last = tensor.first;
  for (const Axis& axis : axes) last += (axis.size - 1) * axis.stride;
  Window<T> window(zip, record, last + 1);

  const auto outer = std::span(axes).first(axes.size() - 1);
  Position at{tensor.first, 0, std::vector<int64_t>(outer.size())};
  do convert_run<T>(window, at.record, axes.back(), out.data() + at.out);
  while (at.next(outer));
}

}  // namespace

bool is_floating_point(DType dtype) {
  return dtype == DType::kFloat16 || dtype == DType::kBFloat16 || dtype == DType::kFloat32 || dtype == DType::kFloat64;
}

void read_tensor(const ZipFile& zip, const ZipEntry& record, const ArchiveTensor& tensor, std::span<float> out) {
  if (out.empty()) return;
  switch (tensor.dtype) {
    case DType::kFloat16: return read_as<Float16>(zip, record, tensor, out);
    case DType::kBFloat16: return read_as<BFloat16>(zip, record, tensor, out);
    case DType::kFloat32: return read_as<Float32>(zip, record, tensor, out);
    case DType::kFloat64: return read_as<Float64>(zip, record, tensor, out);
    default: return;  // excluded by the precondition in the header
  }
}

}  // namespace clip_es
