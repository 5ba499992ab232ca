// The products of tiles (product_tile.h): one loop for every level and precision in terms of vectors that compilers know, and two loops for
// instructions that compilers do not choose themselves. arm64 has product_arm64.cpp instead.
#include "ops/cpu/kernels/vectors.h"
#include "ops/cpu/product_tile.h"

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

namespace clip_es::ops::CLIP_ES_LEVEL {
namespace {

// A tile has kRows rows of two vectors of kLanes columns: the sums fill the registers that x and the panel do not need.
#if defined(__AVX512F__)
constexpr int kLanes = 16, kRows = 12;  // 32 registers
#elif defined(__AVX2__)
constexpr int kLanes = 8, kRows = 6;  // 16 registers
#else
constexpr int kLanes = 4, kRows = 6;  // 16 registers
#endif
constexpr int kThird = kRows / 3;
static_assert(kRows <= kMaxTileRows && kRows % 3 == 0 && 2 * kLanes <= kMaxTileColumns);

typedef float Float __attribute__((vector_size(kLanes * sizeof(float))));
typedef int32_t Int __attribute__((vector_size(kLanes * sizeof(int32_t))));

template <Precision kPrecision>
struct SumOf {
  using Type = Float;
};
template <>
struct SumOf<Precision::kInt8> {
  using Type = Int;
};

// Adds the products of a panel's words with one word of x to sum.
template <Precision kPrecision>
CLIP_ES_INLINE void add_products(const Int& panel, uint32_t x, typename SumOf<kPrecision>::Type& sum) {
  if constexpr (kPrecision == Precision::kFloat32) {
    sum += (Float)panel * __builtin_bit_cast(float, x);
  } else if constexpr (kPrecision == Precision::kBFloat16) {
    sum += (Float)(panel << 16) * __builtin_bit_cast(float, x << 16);
    sum += (Float)(panel & static_cast<int32_t>(0xffff0000)) * __builtin_bit_cast(float, x & 0xffff0000);
  } else {
    for (int shift = 0; shift < 32; shift += 8) sum += (panel >> shift & 0xff) * static_cast<int32_t>(static_cast<int8_t>(x >> shift));
  }
}

// The first kCount rows of a tile.
template <Precision kPrecision, int kCount>
void multiply(const uint32_t* x, const uint32_t* panel, int64_t words, float* sums, int64_t stride) {
  typename SumOf<kPrecision>::Type sum[kCount][2] = {};
  for (int64_t i = 0; i < words; ++i, x += kRows, panel += 2 * kLanes) {
    const Int left = *reinterpret_cast<const Int*>(panel), right = *reinterpret_cast<const Int*>(panel + kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < kCount; ++r) {
      add_products<kPrecision>(left, x[r], sum[r][0]);
      add_products<kPrecision>(right, x[r], sum[r][1]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kCount; ++r)
    for (int half = 0; half < 2; ++half)
      *reinterpret_cast<Float*>(sums + r * stride + half * kLanes) = __builtin_convertvector(sum[r][half], Float);
}

#if defined(__AVX512BF16__)
template <int kCount>
void multiply_bfloat16(const uint32_t* x, const uint32_t* panel, int64_t words, float* sums, int64_t stride) {
  __m512 sum[kCount][2] = {};
  for (int64_t i = 0; i < words; ++i, x += kRows, panel += 2 * kLanes) {
    const auto left = (__m512bh)_mm512_load_si512(panel), right = (__m512bh)_mm512_load_si512(panel + kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < kCount; ++r) {
      const auto pair = (__m512bh)_mm512_set1_epi32(static_cast<int>(x[r]));
      sum[r][0] = _mm512_dpbf16_ps(sum[r][0], pair, left);
      sum[r][1] = _mm512_dpbf16_ps(sum[r][1], pair, right);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kCount; ++r)
    for (int half = 0; half < 2; ++half) _mm512_store_ps(sums + r * stride + half * kLanes, sum[r][half]);
}
#endif

#if defined(__AVX512VNNI__)
template <int kCount>
void multiply_int8(const uint32_t* x, const uint32_t* panel, int64_t words, float* sums, int64_t stride) {
  __m512i sum[kCount][2];
#pragma GCC unroll 16
  for (int r = 0; r < kCount; ++r) sum[r][0] = sum[r][1] = _mm512_setzero_si512();
  for (int64_t i = 0; i < words; ++i, x += kRows, panel += 2 * kLanes) {
    const __m512i left = _mm512_load_si512(panel), right = _mm512_load_si512(panel + kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < kCount; ++r) {
      const __m512i four = _mm512_set1_epi32(static_cast<int>(x[r]));
      sum[r][0] = _mm512_dpbusd_epi32(sum[r][0], left, four);
      sum[r][1] = _mm512_dpbusd_epi32(sum[r][1], right, four);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kCount; ++r)
    for (int half = 0; half < 2; ++half) _mm512_store_si512(sums + r * stride + half * kLanes, sum[r][half]);
  // Converts after the loop: if the loop converted the sums, GCC 12 would keep them in memory instead of registers.
  for (int r = 0; r < kCount; ++r)
    for (int half = 0; half < 2; ++half) {
      float* to = sums + r * stride + half * kLanes;
      _mm512_store_ps(to, __builtin_convertvector((Int)_mm512_load_si512(to), Float));
    }
}
#endif

constexpr ProductTile make_tile(int64_t group, ProductTile::Multiply* third, ProductTile::Multiply* two_thirds,
                                ProductTile::Multiply* all) {
  return {kRows, 2 * kLanes, group, 1, {third, two_thirds, all}};
}

template <Precision kPrecision>
constexpr ProductTile make_tile(int64_t group) {
  return make_tile(group, multiply<kPrecision, kThird>, multiply<kPrecision, 2 * kThird>, multiply<kPrecision, kRows>);
}

}  // namespace

extern const ProductTile product_tiles[3];
constinit const ProductTile product_tiles[3] = {
    make_tile<Precision::kFloat32>(1),
#if defined(__AVX512BF16__)
    make_tile(2, multiply_bfloat16<kThird>, multiply_bfloat16<2 * kThird>, multiply_bfloat16<kRows>),
#else
    make_tile<Precision::kBFloat16>(2),
#endif
#if defined(__AVX512VNNI__)
    make_tile(4, multiply_int8<kThird>, multiply_int8<2 * kThird>, multiply_int8<kRows>),
#else
    make_tile<Precision::kInt8>(4),
#endif
};

}  // namespace clip_es::ops::CLIP_ES_LEVEL
