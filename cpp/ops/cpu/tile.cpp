// One loop for every processor and precision, on vectors that compilers know; and two for instructions that they do not use by themselves.
#include "ops/cpu/tile.h"

#include <bit>
#include <type_traits>

#include "core/multiversion.h"

#ifdef CLIP_ES_X86
#include <immintrin.h>
#endif

namespace clip_es::ops {
namespace {

template <int kLanes>
struct Vectors {
  typedef float Float __attribute__((vector_size(kLanes * sizeof(float))));
  typedef int32_t Int __attribute__((vector_size(kLanes * sizeof(int32_t))));
};

// sum += the products of a panel's words with one word of x, as the precision reads them.
template <Precision kPrecision, class Float, class Int>
[[gnu::always_inline]] inline void add_products(Int panel, uint32_t x,
                                                std::conditional_t<kPrecision == Precision::kInt8, Int, Float>& sum) {
  if constexpr (kPrecision == Precision::kFloat32) {
    sum += (Float)panel * std::bit_cast<float>(x);
  } else if constexpr (kPrecision == Precision::kBFloat16) {
    sum += (Float)(panel << 16) * std::bit_cast<float>(x << 16);
    sum += (Float)(panel & static_cast<int32_t>(0xffff0000)) * std::bit_cast<float>(x & 0xffff0000);
  } else {
    for (int shift = 0; shift < 32; shift += 8) sum += (panel >> shift & 0xff) * static_cast<int32_t>(static_cast<int8_t>(x >> shift));
  }
}

// The first kRows rows of tiles of kTileRows rows and two vectors of kLanes columns.
template <Precision kPrecision, int kLanes, int kTileRows, int kRows>
[[gnu::always_inline]] inline void multiply(const uint32_t* x, const uint32_t* panel, int64_t words, float* sums, int64_t stride) {
  using Float = typename Vectors<kLanes>::Float;
  using Int = typename Vectors<kLanes>::Int;
  std::conditional_t<kPrecision == Precision::kInt8, Int, Float> sum[kRows][2] = {};
  for (int64_t i = 0; i < words; ++i, x += kTileRows, panel += 2 * kLanes) {
    const Int left = *reinterpret_cast<const Int*>(panel), right = *reinterpret_cast<const Int*>(panel + kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      add_products<kPrecision, Float, Int>(left, x[r], sum[r][0]);
      add_products<kPrecision, Float, Int>(right, x[r], sum[r][1]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r)
    for (int half = 0; half < 2; ++half)
      *reinterpret_cast<Float*>(sums + r * stride + half * kLanes) = __builtin_convertvector(sum[r][half], Float);
}

// rows x 2 vectors of lanes: as many sums as the registers hold, less what streams past.
template <int kLanes, int kRows>
constexpr Tile make(Precision precision, Tile::Multiply* third, Tile::Multiply* two_thirds, Tile::Multiply* all) {
  static_assert(kRows <= kMostTileRows && kRows % 3 == 0 && 2 * kLanes <= kMostTileColumns);
  return {kRows, 2 * kLanes, precision == Precision::kFloat32 ? 1 : precision == Precision::kBFloat16 ? 2 : 4, {third, two_thirds, all}};
}

#ifdef CLIP_ES_X86
constexpr int kRowsAvx2 = 6, kRowsAvx512 = 12;  // of 16 and 32 registers

template <Precision kPrecision, int kRows>
__attribute__((target("avx2,fma"))) void multiply_avx2(const uint32_t* x, const uint32_t* panel, int64_t words, float* sums,
                                                       int64_t stride) {
  multiply<kPrecision, 8, kRowsAvx2, kRows>(x, panel, words, sums, stride);
}

template <Precision kPrecision, int kRows>
__attribute__((target("avx512f"))) void multiply_avx512(const uint32_t* x, const uint32_t* panel, int64_t words, float* sums,
                                                        int64_t stride) {
  multiply<kPrecision, 16, kRowsAvx512, kRows>(x, panel, words, sums, stride);
}

template <int kRows>
__attribute__((target("avx512f,avx512bf16"))) void multiply_avx512_bf16(const uint32_t* x, const uint32_t* panel, int64_t words,
                                                                        float* sums, int64_t stride) {
  __m512 sum[kRows][2] = {};
  for (int64_t i = 0; i < words; ++i, x += kRowsAvx512, panel += 32) {
    const auto left = (__m512bh)_mm512_load_si512(panel), right = (__m512bh)_mm512_load_si512(panel + 16);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const auto pair = (__m512bh)_mm512_set1_epi32(static_cast<int>(x[r]));
      sum[r][0] = _mm512_dpbf16_ps(sum[r][0], pair, left);
      sum[r][1] = _mm512_dpbf16_ps(sum[r][1], pair, right);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r)
    for (int half = 0; half < 2; ++half) _mm512_store_ps(sums + r * stride + 16 * half, sum[r][half]);
}

template <int kRows>
__attribute__((target("avx512f,avx512vnni"))) void multiply_avx512_vnni(const uint32_t* x, const uint32_t* panel, int64_t words,
                                                                        float* sums, int64_t stride) {
  __m512i sum[kRows][2];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) sum[r][0] = sum[r][1] = _mm512_setzero_si512();
  for (int64_t i = 0; i < words; ++i, x += kRowsAvx512, panel += 32) {
    const __m512i left = _mm512_load_si512(panel), right = _mm512_load_si512(panel + 16);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const __m512i four = _mm512_set1_epi32(static_cast<int>(x[r]));
      sum[r][0] = _mm512_dpbusd_epi32(sum[r][0], left, four);
      sum[r][1] = _mm512_dpbusd_epi32(sum[r][1], right, four);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
    _mm512_store_si512(sums + r * stride, sum[r][0]);
    _mm512_store_si512(sums + r * stride + 16, sum[r][1]);
  }
  // GCC 12 keeps the sums in memory all along when they are converted above.
  for (int r = 0; r < kRows; ++r)
    for (int half = 0; half < 32; half += 16) {
      float* to = sums + r * stride + half;
      _mm512_store_ps(to, __builtin_convertvector((Vectors<16>::Int)_mm512_load_si512(to), Vectors<16>::Float));
    }
}
#endif

template <Precision kPrecision>
Tile choose() {
#ifdef CLIP_ES_X86
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f")) {
    constexpr int kRows = kRowsAvx512, kThird = kRows / 3;
    if (kPrecision == Precision::kBFloat16 && __builtin_cpu_supports("avx512bf16"))
      return make<16, kRows>(kPrecision, multiply_avx512_bf16<kThird>, multiply_avx512_bf16<2 * kThird>, multiply_avx512_bf16<kRows>);
    if (kPrecision == Precision::kInt8 && __builtin_cpu_supports("avx512vnni"))
      return make<16, kRows>(kPrecision, multiply_avx512_vnni<kThird>, multiply_avx512_vnni<2 * kThird>, multiply_avx512_vnni<kRows>);
    return make<16, kRows>(kPrecision, multiply_avx512<kPrecision, kThird>, multiply_avx512<kPrecision, 2 * kThird>,
                           multiply_avx512<kPrecision, kRows>);
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    constexpr int kRows = kRowsAvx2, kThird = kRows / 3;
    return make<8, kRows>(kPrecision, multiply_avx2<kPrecision, kThird>, multiply_avx2<kPrecision, 2 * kThird>,
                          multiply_avx2<kPrecision, kRows>);
  }
#endif
#ifdef __aarch64__
  constexpr int kRows = 12;
#else
  constexpr int kRows = 6;
#endif
  constexpr int kThird = kRows / 3;
  return make<4, kRows>(kPrecision, multiply<kPrecision, 4, kRows, kThird>, multiply<kPrecision, 4, kRows, 2 * kThird>,
                        multiply<kPrecision, 4, kRows, kRows>);
}

}  // namespace

const Tile& tile(Precision precision) {
  static const Tile tiles[] = {choose<Precision::kFloat32>(), choose<Precision::kBFloat16>(), choose<Precision::kInt8>()};
  return tiles[static_cast<size_t>(precision)];
}

}  // namespace clip_es::ops
