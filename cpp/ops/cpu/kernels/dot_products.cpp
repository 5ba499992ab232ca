// Dot products of a few rows with four rows: all sums of a block stay in registers.
#include "ops/cpu/kernels.h"
#include "ops/cpu/kernels/vectors.h"

namespace clip_es::ops::CLIP_ES_LEVEL {
namespace {

#if defined(__AVX512F__)
typedef float Wide __attribute__((vector_size(64)));
constexpr int kBlock = 4;  // rows of x at a time: 4 x 4 sums in 32 registers
#elif defined(__AVX2__)
typedef Float8 Wide;
constexpr int kBlock = 2;
#elif defined(__aarch64__)
typedef Float4 Wide;
constexpr int kBlock = 4;
#else
typedef Float4 Wide;
constexpr int kBlock = 2;
#endif
constexpr int64_t kLanes = sizeof(Wide) / sizeof(float);

// The sums over the lanes of four vectors.
CLIP_ES_INLINE void add_lanes(const Wide (&sums)[4], Float4& total) {
  Float4 rows[4];
  for (int j = 0; j < 4; ++j) {
    Float4 parts[kLanes / 4];
    std::memcpy(parts, &sums[j], sizeof parts);
    rows[j] = parts[0];
    for (int64_t p = 1; p < kLanes / 4; ++p) rows[j] += parts[p];
  }
  transpose(rows);
  total = (rows[0] + rows[1]) + (rows[2] + rows[3]);
}

template <int kRows>
CLIP_ES_INLINE void multiply_block(const float* m, int64_t stride, const float* const* x, int64_t count, float* y, int64_t y_stride) {
  Wide sums[kRows][4] = {};
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    Wide weight[4];
    for (int j = 0; j < 4; ++j) load(weight[j], m + j * stride + i);
    for (int r = 0; r < kRows; ++r) {
      Wide value;
      load(value, x[r] + i);
      for (int j = 0; j < 4; ++j) sums[r][j] += weight[j] * value;
    }
  }
  for (int r = 0; r < kRows; ++r) {
    Float4 total;
    add_lanes(sums[r], total);
    for (int64_t k = i; k < count; ++k)
      for (int j = 0; j < 4; ++j) total[j] += m[j * stride + k] * x[r][k];
    store(y + r * y_stride, total);
  }
}

}  // namespace

void dot_rows_by_four(const float* m, int64_t stride, const float* const* x, int64_t rows, int64_t count, float* y, int64_t y_stride) {
  int64_t r = 0;
  for (; r + kBlock <= rows; r += kBlock) multiply_block<kBlock>(m, stride, x + r, count, y + r * y_stride, y_stride);
  for (; r < rows; ++r) multiply_block<1>(m, stride, x + r, count, y + r * y_stride, y_stride);
}

}  // namespace clip_es::ops::CLIP_ES_LEVEL
