// The tensor-core instruction mma.sync.m16n8k16 of a warp: d (16, 8) += a (16, 16) * b (16, 8), bfloat16 inputs and float32 sums.
// PTX ISA, "Matrix Fragments for mma.m16n8k16 with floating point type": with group = lane / 4 and pair = lane % 4, a lane holds
//   a[0]: row group,     columns 2 pair, 2 pair + 1        b[0]: rows 2 pair, 2 pair + 1, column group
//   a[1]: row group + 8, the same columns                  b[1]: rows 2 pair + 8, 2 pair + 9, column group
//   a[2]: row group,     columns 2 pair + 8, 2 pair + 9    d[0], d[1]: row group,     columns 2 pair, 2 pair + 1
//   a[3]: row group + 8, columns 2 pair + 8, 2 pair + 9    d[2], d[3]: row group + 8, the same columns
// Each register holds two values, the first one in the low half. load_matrices fills these fragments from shared memory.
#pragma once
#include "ops/cuda/common.cuh"

namespace clip_es::cuda {

struct FragmentA {
  uint32_t pair[4];
};
struct FragmentB {
  uint32_t pair[2];
};

// Loads four matrices of 8 x 8 values (PTX: ldmatrix.x4). Lane 8 m + i gives the address of row i of matrix m, in shared memory and a
// multiple of 16. out[m]: the values (group, 2 pair) and (group, 2 pair + 1) of matrix m. All 32 lanes must call it.
__device__ inline void load_matrices(uint32_t (&out)[4], const BFloat16* row) {
#ifdef __CUDACC__
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
               : "r"(static_cast<uint32_t>(__cvta_generic_to_shared(row)))
               : "memory");
#else
  emulator::require_aligned_to_16(row);
  const BFloat16* const* rows = emulator::gather(row);
  const int group = threadIdx.x % kWarp / 4, pair = threadIdx.x % 4;
  for (int m = 0; m < 4; ++m) {
    const BFloat16* values = rows[8 * m + group] + 2 * pair;
    out[m] = values[0].bits | static_cast<uint32_t>(values[1].bits) << 16;
  }
#endif
}

// All 32 lanes must call it.
__device__ inline void multiply_add(float (&d)[4], const FragmentA& a, const FragmentB& b) {
#ifdef __CUDACC__
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a.pair[0]), "r"(a.pair[1]), "r"(a.pair[2]), "r"(a.pair[3]), "r"(b.pair[0]), "r"(b.pair[1]));
#else
  // Emulator: computes the definition above from the registers of all lanes.
  struct Fragments {
    FragmentA a;
    FragmentB b;
  };
  const Fragments* lanes = emulator::gather(Fragments{a, b});
  const auto half = [](uint32_t pair, int which) { return to_float(BFloat16{static_cast<uint16_t>(pair >> (16 * which))}); };
  const auto at_a = [&](int row, int k) { return half(lanes[row % 8 * 4 + k % 8 / 2].a.pair[row / 8 + k / 8 * 2], k % 2); };
  const auto at_b = [&](int k, int column) { return half(lanes[column * 4 + k % 8 / 2].b.pair[k / 8], k % 2); };
  const int group = threadIdx.x % kWarp / 4, pair = threadIdx.x % 4;
  for (int i = 0; i < 4; ++i)
    for (int k = 0; k < 16; ++k) d[i] += at_a(group + i / 2 * 8, k) * at_b(k, 2 * pair + i % 2);
#endif
}

}  // namespace clip_es::cuda
