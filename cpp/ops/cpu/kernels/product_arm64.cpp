// The products of tiles on arm64: 12 rows by 8 columns, so 24 of the 32 registers hold sums. The other 8 are enough for the operands. There
// are two loops. In multiply_words, one instruction multiplies a word of four columns by a word of one row, which it takes from a lane of a
// register. In multiply_blocks, one instruction multiplies two rows by two columns, with two words of each.
#include <arm_neon.h>

#include "ops/cpu/kernels/vectors.h"
#include "ops/cpu/product_tile.h"

namespace clip_es::ops::CLIP_ES_LEVEL {
namespace {

constexpr int kLanes = 4, kRows = 12, kColumns = 2 * kLanes;

CLIP_ES_INLINE float32x4_t to_floats(float32x4_t sums) { return sums; }
CLIP_ES_INLINE float32x4_t to_floats(int32x4_t sums) { return vcvtq_f32_s32(sums); }

// Loads four words. Without the empty instruction, GCC 12 would load each word again for each use, and then lack registers for the sums.
CLIP_ES_INLINE uint32x4_t load_words(const uint32_t* p) {
  uint32x4_t words = vld1q_u32(p);
  asm("" : "+w"(words));
  return words;
}

// What multiply_words needs to know of a precision: `add` adds the products of four words of a panel with the word in a lane of x to sum.
struct Float32Words {
  using Sum = float32x4_t;
  template <int kLane>
  CLIP_ES_INLINE static void add(uint32x4_t panel, uint32x4_t x, Sum& sum) {
    sum = vfmaq_laneq_f32(sum, vreinterpretq_f32_u32(panel), vreinterpretq_f32_u32(x), kLane);
  }
};

struct BFloat16Words {
  using Sum = float32x4_t;
  // A bfloat16 is the upper half of a float32.
  CLIP_ES_INLINE static float32x4_t low(uint32x4_t words) { return vreinterpretq_f32_u32(vshlq_n_u32(words, 16)); }
  CLIP_ES_INLINE static float32x4_t high(uint32x4_t words) { return vreinterpretq_f32_u32(vandq_u32(words, vdupq_n_u32(0xffff0000))); }
  template <int kLane>
  CLIP_ES_INLINE static void add(uint32x4_t panel, uint32x4_t x, Sum& sum) {
    sum = vfmaq_laneq_f32(sum, low(panel), low(x), kLane);
    sum = vfmaq_laneq_f32(sum, high(panel), high(x), kLane);
  }
};

struct Int8Words {
  using Sum = int32x4_t;
  template <int kLane>
  CLIP_ES_INLINE static void add(uint32x4_t panel, uint32x4_t x, Sum& sum) {
    const int8x16_t weights = vreinterpretq_s8_u32(panel);
#if defined(__ARM_FEATURE_DOTPROD)
    sum = vdotq_laneq_s32(sum, weights, vreinterpretq_s8_u32(x), kLane);
#else
    // The sum of two products of integers up to 127 fits in 16 bits.
    const int8x16_t four = vreinterpretq_s8_u32(vdupq_laneq_u32(x, kLane));
    const int16x8_t left = vmull_s8(vget_low_s8(weights), vget_low_s8(four)), right = vmull_high_s8(weights, four);
    sum = vpadalq_s16(sum, vpaddq_s16(left, right));
#endif
  }
};

// The first kCount rows of a tile.
template <class Words, int kCount>
void multiply_words(const uint32_t* x, const uint32_t* panel, int64_t words, float* sums, int64_t stride) {
  typename Words::Sum sum[kCount][2] = {};
  for (int64_t i = 0; i < words; ++i, x += kRows, panel += kColumns) {
    const uint32x4_t half[2] = {load_words(panel), load_words(panel + kLanes)};
#pragma GCC unroll 3
    for (int r = 0; r < kCount; r += 4) {
      const uint32x4_t rows = load_words(x + r);
#pragma GCC unroll 2
      for (int h = 0; h < 2; ++h) {
        Words::template add<0>(half[h], rows, sum[r][h]);
        Words::template add<1>(half[h], rows, sum[r + 1][h]);
        Words::template add<2>(half[h], rows, sum[r + 2][h]);
        Words::template add<3>(half[h], rows, sum[r + 3][h]);
      }
    }
  }
#pragma GCC unroll 12
  for (int r = 0; r < kCount; ++r)
    for (int h = 0; h < 2; ++h) vst1q_f32(sums + r * stride + h * kLanes, to_floats(sum[r][h]));
}

#if defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC) && defined(__ARM_FEATURE_MATMUL_INT8)
// What multiply_blocks needs to know of a precision: `add` adds the products of two rows of x (two words each) with two columns of the
// panel. The lanes of sum are (row 0, column 0), (0, 1), (1, 0), (1, 1).
struct BFloat16Blocks {
  using Sum = float32x4_t;
  CLIP_ES_INLINE static void add(uint32x4_t x, uint32x4_t panel, Sum& sum) {
    sum = vbfmmlaq_f32(sum, vreinterpretq_bf16_u32(x), vreinterpretq_bf16_u32(panel));
  }
};

struct Int8Blocks {
  using Sum = int32x4_t;
  CLIP_ES_INLINE static void add(uint32x4_t x, uint32x4_t panel, Sum& sum) {
    sum = vmmlaq_s32(sum, vreinterpretq_s8_u32(x), vreinterpretq_s8_u32(panel));
  }
};

CLIP_ES_INLINE float32x4_t first_rows(float32x4_t left, float32x4_t right) {
  return vreinterpretq_f32_f64(vzip1q_f64(vreinterpretq_f64_f32(left), vreinterpretq_f64_f32(right)));
}
CLIP_ES_INLINE float32x4_t second_rows(float32x4_t left, float32x4_t right) {
  return vreinterpretq_f32_f64(vzip2q_f64(vreinterpretq_f64_f32(left), vreinterpretq_f64_f32(right)));
}

constexpr int kChunk = 2;  // words of one row in a block

// The first kCount rows of a tile. words is a multiple of kChunk.
template <class Blocks, int kCount>
void multiply_blocks(const uint32_t* x, const uint32_t* panel, int64_t words, float* sums, int64_t stride) {
  constexpr int kBlockRows = kCount / 2, kBlockColumns = kColumns / 2;
  typename Blocks::Sum sum[kBlockRows][kBlockColumns] = {};
  for (int64_t i = 0; i < words; i += kChunk, x += kChunk * kRows, panel += kChunk * kColumns) {
    uint32x4_t columns[kBlockColumns];
#pragma GCC unroll 4
    for (int c = 0; c < kBlockColumns; ++c) columns[c] = load_words(panel + 4 * c);
#pragma GCC unroll 6
    for (int r = 0; r < kBlockRows; ++r) {
      const uint32x4_t rows = load_words(x + 4 * r);
#pragma GCC unroll 4
      for (int c = 0; c < kBlockColumns; ++c) Blocks::add(rows, columns[c], sum[r][c]);
    }
  }
#pragma GCC unroll 6
  for (int r = 0; r < kBlockRows; ++r)
    for (int c = 0; c < kBlockColumns; c += 2) {
      const float32x4_t left = to_floats(sum[r][c]), right = to_floats(sum[r][c + 1]);
      vst1q_f32(sums + 2 * r * stride + 2 * c, first_rows(left, right));
      vst1q_f32(sums + (2 * r + 1) * stride + 2 * c, second_rows(left, right));
    }
}

template <class Blocks>
constexpr ProductTile make_block_tile(int64_t group) {
  return {kRows, kColumns, group, kChunk, {multiply_blocks<Blocks, 4>, multiply_blocks<Blocks, 8>, multiply_blocks<Blocks, 12>}};
}
#endif

template <class Words>
constexpr ProductTile make_tile(int64_t group) {
  return {kRows, kColumns, group, 1, {multiply_words<Words, 4>, multiply_words<Words, 8>, multiply_words<Words, 12>}};
}

}  // namespace

extern const ProductTile product_tiles[3];
constinit const ProductTile product_tiles[3] = {
    make_tile<Float32Words>(1),
#if defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC) && defined(__ARM_FEATURE_MATMUL_INT8)
    make_block_tile<BFloat16Blocks>(2),
    make_block_tile<Int8Blocks>(4),
#else
    make_tile<BFloat16Words>(2),
    make_tile<Int8Words>(4),
#endif
};

}  // namespace clip_es::ops::CLIP_ES_LEVEL
