#include "ops/cpu/pack.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "core/half.h"
#include "core/multiversion.h"
#include "ops/cpu/vectors.h"

#ifdef CLIP_ES_X86
#include <immintrin.h>
#endif

namespace clip_es::ops {
namespace {

constexpr int64_t kRun = 64;        // words of each row at a time, so few that what is written stays in the first-level cache
constexpr int64_t kShortRow = 256;  // as those of a head, which lie far apart
constexpr int64_t kAhead = 12;      // rows on their way from memory
constexpr float kLargest = 127.0f;  // of an 8-bit integer, either sign

CLIP_ES_MULTIVERSION float largest_size(const float* x, int64_t count) {
  float largest = 0;
#pragma omp simd reduction(max : largest)
  for (int64_t i = 0; i < count; ++i) largest = std::fabs(x[i]) > largest ? std::fabs(x[i]) : largest;
  return largest;
}

// Rounds to nearest; -> the sum of what is written.
CLIP_ES_MULTIVERSION int32_t quantise(const float* x, int64_t count, float factor, int8_t* to) {
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it leaves the rounded integer in the low bits
  int32_t sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < count; ++i) {
    const int32_t q = std::bit_cast<int32_t>(x[i] * factor + kRound) - std::bit_cast<int32_t>(kRound);
    to[i] = static_cast<int8_t>(q);
    sum += q;
  }
  return sum;
}

// `numbers` of a row as words: either where they stand, or in `words`; what the last word lacks is zero. factor and sum: of 8-bit integers.
const std::byte* to_words(Precision precision, const float* x, int64_t numbers, float factor, std::byte* words, float& sum) {
  switch (precision) {
    case Precision::kFloat32: return reinterpret_cast<const std::byte*>(x);
    case Precision::kBFloat16: {
      auto* to = reinterpret_cast<uint16_t*>(words);
      to_bfloat16(x, numbers, to);
      if (numbers % 2) to[numbers] = 0;
      return words;
    }
    case Precision::kInt8: break;
  }
  auto* to = reinterpret_cast<int8_t*>(words);
  sum += static_cast<float>(quantise(x, numbers, factor, to));
  std::fill(to + numbers, to + (numbers + 3) / 4 * 4, int8_t{0});
  return words;
}

// Rows four at a time (kRowsMade), as every processor has vectors of four words.
typedef uint32_t Quad __attribute__((vector_size(16)));

template <int... kPlaces>
Quad shuffle(Quad low, Quad high) {
#ifdef __clang__
  return __builtin_shufflevector(low, high, kPlaces...);
#else
  return __builtin_shuffle(low, high, Quad{kPlaces...});
#endif
}

Quad load(const std::byte* words, int64_t i) {
  Quad quad;
  std::memcpy(&quad, words + i * 4, sizeof quad);
  return quad;
}

// to[i * step + r] = row r's word i.
void interleave(const std::byte* const rows[4], int64_t count, int64_t step, uint32_t* to) {
  int64_t i = 0;
  for (; i + 4 <= count; i += 4) {
    const Quad a = load(rows[0], i), b = load(rows[1], i), c = load(rows[2], i), d = load(rows[3], i);
    const Quad ab = shuffle<0, 4, 1, 5>(a, b), ab_high = shuffle<2, 6, 3, 7>(a, b), cd = shuffle<0, 4, 1, 5>(c, d),
               cd_high = shuffle<2, 6, 3, 7>(c, d);
    const Quad columns[] = {shuffle<0, 1, 4, 5>(ab, cd), shuffle<2, 3, 6, 7>(ab, cd), shuffle<0, 1, 4, 5>(ab_high, cd_high),
                            shuffle<2, 3, 6, 7>(ab_high, cd_high)};
    for (int64_t k = 0; k < 4; ++k) std::memcpy(to + (i + k) * step, &columns[k], sizeof(Quad));
  }
  for (; i < count; ++i)
    for (int64_t r = 0; r < 4; ++r) std::memcpy(to + i * step + r, rows[r] + i * 4, 4);
}

#ifdef CLIP_ES_X86
// Four rows of float32 -> the same words of bfloat16, rounded on the way without leaving the registers, four at a time. Vectors of eight
// floats are what has just been written, often: longer ones would wait until it is in the cache.
__attribute__((target("avx512f,avx512bf16,avx512vl"))) void interleave_rounded(const float* const rows[4], int64_t numbers, int64_t step,
                                                                               uint32_t* to) {
  const float *x0 = rows[0], *x1 = rows[1], *x2 = rows[2], *x3 = rows[3];
  for (int64_t i = 0; i < numbers; i += 8) {
    const int64_t left = numbers - i;
    const auto mask = static_cast<__mmask8>(left < 8 ? (1 << left) - 1 : 0xff);
    const auto a = (__m128i)_mm256_cvtneps_pbh(_mm256_maskz_loadu_ps(mask, x0 + i)),
               b = (__m128i)_mm256_cvtneps_pbh(_mm256_maskz_loadu_ps(mask, x1 + i));
    const auto c = (__m128i)_mm256_cvtneps_pbh(_mm256_maskz_loadu_ps(mask, x2 + i)),
               d = (__m128i)_mm256_cvtneps_pbh(_mm256_maskz_loadu_ps(mask, x3 + i));
    const __m128i ab = _mm_unpacklo_epi32(a, b), ab_high = _mm_unpackhi_epi32(a, b);
    const __m128i cd = _mm_unpacklo_epi32(c, d), cd_high = _mm_unpackhi_epi32(c, d);
    const __m128i columns[] = {_mm_unpacklo_epi64(ab, cd), _mm_unpackhi_epi64(ab, cd), _mm_unpacklo_epi64(ab_high, cd_high),
                               _mm_unpackhi_epi64(ab_high, cd_high)};
    const int64_t words = left < 8 ? (left + 1) / 2 : 4;
    for (int64_t k = 0; k < words; ++k, to += step) _mm_storeu_si128(reinterpret_cast<__m128i*>(to), columns[k]);
  }
}
#endif

// The same, where the processor can; -> whether it could.
bool interleave_natively(Precision precision, const float* const rows[4], int64_t numbers, int64_t step, uint32_t* to) {
#ifdef CLIP_ES_X86
  if (precision == Precision::kBFloat16 && rounds_to_bfloat16_natively()) {
    interleave_rounded(rows, numbers, step, to);
    return true;
  }
#endif
  return false;
}

void interleave_one(const std::byte* words, int64_t count, int64_t step, uint32_t* to) {
  for (int64_t i = 0; i < count; ++i) std::memcpy(to + i * step, words + i * 4, 4);
}

CLIP_ES_MULTIVERSION void interleave_pair(const uint16_t* low, const uint16_t* high, int64_t columns, uint32_t* to) {
  for (int64_t c = 0; c < columns; ++c) to[c] = static_cast<uint32_t>(high[c]) << 16 | low[c];
}

// At most four rows of a tile; packed: where the first of them belongs.
void pack_few(Precision precision, const float* const* x, int64_t rows, int64_t depth, int64_t tile_rows, uint32_t* packed,
              RowScale* scales) {
  if (rows == kRowsMade && interleave_natively(precision, x, depth, tile_rows, packed)) return;
  const int64_t group = tile(precision).group, words = tile(precision).words(depth);
  alignas(64) std::byte runs[kRowsMade][kRun * sizeof(uint32_t)];
  float factors[kRowsMade] = {}, sums[kRowsMade] = {};
  if (precision == Precision::kInt8)
    for (int64_t r = 0; r < rows; ++r) {
      const float largest = largest_size(x[r], depth);
      factors[r] = largest > 0 ? kLargest / largest : 0;
      scales[r].scale = largest / kLargest;
    }
  for (int64_t begin = 0; begin < words; begin += kRun, packed += kRun * tile_rows) {
    const int64_t count = std::min(kRun, words - begin), numbers = std::min(count * group, depth - begin * group);
    const std::byte* here[kRowsMade];
    for (int64_t r = 0; r < rows; ++r) here[r] = to_words(precision, x[r] + begin * group, numbers, factors[r], runs[r], sums[r]);
    if (rows == kRowsMade) interleave(here, count, tile_rows, packed);
    else
      for (int64_t r = 0; r < rows; ++r) interleave_one(here[r], count, tile_rows, packed + r);
  }
  if (precision == Precision::kInt8)
    for (int64_t r = 0; r < rows; ++r) scales[r].sum = sums[r];
}

}  // namespace

void pack_rows(Precision precision, const RowSource& x, float* memory, int64_t rows, int64_t depth, int64_t tile_rows, uint32_t* packed,
               RowScale* scales) {
  const int64_t tile_words = tile_rows * tile(precision).words(depth);
  for (int64_t first = 0; first < rows; first += tile_rows, packed += tile_words) {
    const int64_t end = std::min(first + tile_rows, rows);
    if (end < first + tile_rows) std::fill_n(packed, tile_words, 0u);
    for (int64_t row = first; row < end; row += kRowsMade) {
      const int64_t count = std::min(kRowsMade, end - row);
      const float* few[kRowsMade];
      for (int64_t r = 0; r < count; ++r) few[r] = x(row + r, memory + r * depth);
      pack_few(precision, few, count, depth, tile_rows, packed + (row - first), scales ? scales + row : nullptr);
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
  const int64_t words = tile(precision).words(depth);
  uint16_t halves[2][kMostTileColumns];
  for (int64_t first = 0; first < columns; first += tile_columns) {
    const int64_t here = std::min(tile_columns, columns - first);
    for (int64_t i = 0; i < words; ++i, packed += tile_columns) {
      if (here < tile_columns) std::fill_n(packed, tile_columns, 0u);
      if (precision == Precision::kFloat32) {
        std::memcpy(packed, x + i * stride + first, static_cast<size_t>(here) * sizeof(float));
        continue;
      }
      const float* low = x + 2 * i * stride + first;
      for (int64_t row = 0; row < 2; ++row) prefetch(low + (row + kAhead) * stride, here);
      to_bfloat16(low, here, halves[0]);
      if (2 * i + 1 < depth) to_bfloat16(low + stride, here, halves[1]);
      else std::fill_n(halves[1], here, uint16_t{0});
      interleave_pair(halves[0], halves[1], here, packed);
    }
  }
}

void multiply_packed(const Tile& t, const uint32_t* x, const uint32_t* panels, int64_t words, int64_t rows, int64_t columns, float* y) {
  const int64_t stride = round_up(columns, t.columns);
  for (int64_t column = 0; column < columns; column += t.columns)
    for (int64_t row = 0; row < rows; row += t.rows)
      t.multiply(x + row * words, panels + column * words, words, std::min(t.rows, rows - row), y + row * stride + column, stride);
}

}  // namespace clip_es::ops
