#include "ops/cpu/pack.h"

#include <algorithm>
#include <cstring>

#include "ops/cpu/kernels.h"

namespace clip_es::ops {
namespace {

constexpr int64_t kRun = 64;        // words of each row at a time, a multiple of kMaxChunk; the result stays in the first-level cache
constexpr int64_t kShortRow = 256;  // floats; shorter rows, such as those of one head, are far apart and prefetched
constexpr int64_t kAhead = 12;      // rows to prefetch
constexpr float kLargestInteger = 127.0f;  // of the 8-bit integers, either sign

// Converts rows to words and interleaves them, at most kPackedTogether rows at a time.
class RowPacker {
 public:
  RowPacker(Precision precision, int64_t depth, int64_t tile_rows)
      : k_(kernels()), tile_(product_tile(precision)), precision_(precision), depth_(depth), tile_rows_(tile_rows) {}

  int64_t words() const { return tile_.words(depth_); }
  int64_t chunk() const { return tile_.chunk; }

  // packed: the start of the first row. scales (rows): for kInt8.
  void pack(const float* const* x, int64_t rows, uint32_t* packed, RowScale* scales) const {
    if (rows == kPackedTogether && precision_ == Precision::kBFloat16 && k_.interleave_bfloat16)
      return k_.interleave_bfloat16(x, depth_, tile_rows_, packed);
    alignas(64) std::byte runs[kPackedTogether][kRun * sizeof(uint32_t)];
    float factors[kPackedTogether] = {}, sums[kPackedTogether] = {};
    if (precision_ == Precision::kInt8)
      for (int64_t r = 0; r < rows; ++r) {
        const float largest = k_.largest_magnitude(x[r], depth_);
        factors[r] = largest > 0 ? kLargestInteger / largest : 0;
        scales[r].scale = largest / kLargestInteger;
      }
    for (int64_t begin = 0; begin < words(); begin += kRun, packed += kRun * tile_rows_) {
      const int64_t count = std::min(kRun, words() - begin), numbers = std::min(count * tile_.group, depth_ - begin * tile_.group);
      const std::byte* here[kPackedTogether];
      for (int64_t r = 0; r < rows; ++r) here[r] = to_words(x[r] + begin * tile_.group, numbers, count, factors[r], runs[r], sums[r]);
      if (rows == kPackedTogether) k_.interleave(here, count, tile_.chunk, tile_rows_, packed);
      else
        for (int64_t r = 0; r < rows; ++r) scatter(here[r], count, packed + r * tile_.chunk);
    }
    if (precision_ == Precision::kInt8)
      for (int64_t r = 0; r < rows; ++r) scales[r].sum = sums[r];
  }

 private:
  // Converts `numbers` elements of a row to `count` words, padded with zeros. Returns x itself for float32, otherwise `words`. factor and
  // sum are for kInt8.
  const std::byte* to_words(const float* x, int64_t numbers, int64_t count, float factor, std::byte* words, float& sum) const {
    switch (precision_) {
      case Precision::kFloat32: return reinterpret_cast<const std::byte*>(x);
      case Precision::kBFloat16: {
        auto* to = reinterpret_cast<uint16_t*>(words);
        k_.to_bfloat16(x, numbers, to);
        std::fill(to + numbers, to + count * tile_.group, uint16_t{0});
        return words;
      }
      case Precision::kInt8: break;
    }
    auto* to = reinterpret_cast<int8_t*>(words);
    sum += static_cast<float>(k_.quantise(x, numbers, factor, to));
    std::fill(to + numbers, to + count * tile_.group, int8_t{0});
    return words;
  }

  void scatter(const std::byte* words, int64_t count, uint32_t* to) const {
    if (tile_.chunk == 2)
      for (int64_t i = 0; i < count; i += 2) std::memcpy(to + i * tile_rows_, words + i * 4, 8);
    else
      for (int64_t i = 0; i < count; ++i) std::memcpy(to + i * tile_rows_, words + i * 4, 4);
  }

  const Kernels& k_;
  const ProductTile& tile_;
  Precision precision_;
  int64_t depth_, tile_rows_;
};

// Packs two rows of x into one word per column. The second row is zero if it does not exist.
void pack_pair(const Kernels& k, const float* x, int64_t stride, int64_t rows_left, int64_t columns, uint32_t* words) {
  uint16_t halves[2][kMaxTileColumns];
  for (int64_t row = 0; row < 2; ++row) prefetch(x + (row + kAhead) * stride, columns);
  for (int64_t row = 0; row < 2; ++row)
    if (row < rows_left) k.to_bfloat16(x + row * stride, columns, halves[row]);
    else std::fill_n(halves[row], columns, uint16_t{0});
  k.interleave_pair(halves[0], halves[1], columns, words);
}

}  // namespace

void pack_rows(Precision precision, const RowSource& x, float* memory, int64_t rows, int64_t depth, int64_t tile_rows, uint32_t* packed,
               RowScale* scales) {
  const RowPacker packer(precision, depth, tile_rows);
  const int64_t tile_words = tile_rows * packer.words();
  for (int64_t first = 0; first < rows; first += tile_rows, packed += tile_words) {
    const int64_t end = std::min(first + tile_rows, rows);
    if (end < first + tile_rows) std::fill_n(packed, tile_words, 0u);
    for (int64_t row = first; row < end; row += kPackedTogether) {
      const int64_t count = std::min(kPackedTogether, end - row);
      const float* few[kPackedTogether];
      for (int64_t r = 0; r < count; ++r) few[r] = x(row + r, memory + r * depth);
      packer.pack(few, count, packed + (row - first) * packer.chunk(), scales ? scales + row : nullptr);
    }
  }
}

void pack_rows(Precision precision, const float* x, int64_t stride, int64_t rows, int64_t depth, int64_t tile_rows, uint32_t* packed,
               RowScale* scales) {
  const auto row_at = [=](int64_t row, float*) {
    if (depth <= kShortRow) prefetch(x + (row + kAhead) * stride, depth);
    return x + row * stride;
  };
  pack_rows(precision, row_at, nullptr, rows, depth, tile_rows, packed, scales);
}

void pack_columns(Precision precision, const float* x, int64_t stride, int64_t depth, int64_t columns, int64_t tile_columns,
                  uint32_t* packed) {
  const Kernels& k = kernels();
  const ProductTile& tile = product_tile(precision);
  const int64_t words = tile.words(depth), chunk = tile.chunk;
  uint32_t pairs[kMaxChunk][kMaxTileColumns];
  for (int64_t first = 0; first < columns; first += tile_columns) {
    const int64_t here = std::min(tile_columns, columns - first);
    for (int64_t i = 0; i < words; i += chunk, packed += chunk * tile_columns) {
      if (here < tile_columns) std::fill_n(packed, chunk * tile_columns, 0u);
      const auto pack = [&](int64_t word, uint32_t* to) {
        pack_pair(k, x + 2 * word * stride + first, stride, depth - 2 * word, here, to);
      };
      if (precision == Precision::kFloat32) {
        std::memcpy(packed, x + i * stride + first, here * sizeof(float));
      } else if (chunk == 1) {
        pack(i, packed);
      } else {
        for (int64_t w = 0; w < chunk; ++w) pack(i + w, pairs[w]);
        for (int64_t column = 0; column < here; ++column)
          for (int64_t w = 0; w < chunk; ++w) packed[column * chunk + w] = pairs[w][column];
      }
    }
  }
}

void multiply_packed(const ProductTile& t, const uint32_t* x, const uint32_t* panels, int64_t words, int64_t rows, int64_t columns,
                     float* y) {
  const int64_t stride = round_up(columns, t.columns);
  for (int64_t column = 0; column < columns; column += t.columns)
    for (int64_t row = 0; row < rows; row += t.rows)
      t.multiply(x + row * words, panels + column * words, words, std::min(t.rows, rows - row), y + row * stride + column, stride);
}

}  // namespace clip_es::ops
