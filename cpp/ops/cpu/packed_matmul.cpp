// After Goto and van de Geijn, "Anatomy of high-performance matrix multiplication" (2008): a tile of y stays in registers while a tile of
// x and a panel of weights, both packed in the order of use, stream past it; a block of x stays in the second-level cache meanwhile.
#include "ops/packed_matmul.h"

#include <algorithm>
#include <cstring>

namespace clip_es::ops {
namespace {

constexpr int64_t kRowBlock = 384, kDepth = 768;  // of x: rows and inputs that are packed together; larger ones were no faster

// One tile: sums (kRows, 2 vectors) of `depth` products. x (depth, kRows), panel (depth, 2 vectors), both packed.
template <int kLanes, int kRows>
struct Tile {
  typedef float Vector __attribute__((vector_size(kLanes * sizeof(float))));
  static constexpr int64_t rows = kRows, columns = 2 * kLanes;

  [[gnu::always_inline]] static void multiply(const float* x, const float* panel, int64_t depth, float* sums) {
    Vector sum[kRows][2] = {};
    for (int64_t i = 0; i < depth; ++i, x += kRows, panel += columns) {
      const Vector left = *reinterpret_cast<const Vector*>(panel), right = *reinterpret_cast<const Vector*>(panel + kLanes);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
        const Vector value = x[r] - Vector{};
        sum[r][0] += value * left;
        sum[r][1] += value * right;
      }
    }
    std::memcpy(sums, sum, sizeof sum);
  }
};

using Tile8 = Tile<8, 6>;     // 12 of 16 registers hold sums
using Tile16 = Tile<16, 12>;  // 24 of 32

#if defined(__x86_64__) && defined(__GNUC__)
__attribute__((target("avx2,fma"))) void multiply_tile_8(const float* x, const float* panel, int64_t depth, float* sums) {
  Tile8::multiply(x, panel, depth, sums);
}
__attribute__((target("avx512f"))) void multiply_tile_16(const float* x, const float* panel, int64_t depth, float* sums) {
  Tile16::multiply(x, panel, depth, sums);
}
#endif

struct Kernel {
  int64_t rows, columns;
  void (*multiply)(const float* x, const float* panel, int64_t depth, float* sums);
};

// The kernel that this processor runs, or none.
Kernel choose_kernel() {
#if defined(__x86_64__) && defined(__GNUC__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f")) return {Tile16::rows, Tile16::columns, multiply_tile_16};
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return {Tile8::rows, Tile8::columns, multiply_tile_8};
#endif
  return {0, 0, nullptr};
}

const Kernel kernel = choose_kernel();

// x (rows, depth) with row_stride -> tiles of kernel.rows rows, each (depth, kernel.rows); rows that are not there are zeros. In runs of
// inputs so short that what is written stays in the first-level cache until all rows have added to it.
void pack_rows(const float* x, int64_t row_stride, int64_t rows, int64_t depth, float* packed) {
  constexpr int64_t kRun = 64;
  for (int64_t first = 0; first < rows; first += kernel.rows, packed += kernel.rows * depth)
    for (int64_t begin = 0; begin < depth; begin += kRun) {
      const int64_t end = std::min(begin + kRun, depth);
      for (int64_t r = 0; r < kernel.rows; ++r) {
        const float* from = x + (first + r) * row_stride;
        if (first + r < rows) {
          for (int64_t i = begin; i < end; ++i) packed[i * kernel.rows + r] = from[i];
        } else {
          for (int64_t i = begin; i < end; ++i) packed[i * kernel.rows + r] = 0;
        }
      }
    }
}

// A tile's sums go to y: on top of the bias, if there is one, at first, and of what stands there afterwards.
void store_tile(const float* sums, int64_t rows, int64_t columns, const float* bias, bool first, float* y, int64_t row_stride) {
  for (int64_t r = 0; r < rows; ++r, sums += kernel.columns, y += row_stride) {
    const float* below = first ? bias : y;
    if (below) {
#pragma omp simd
      for (int64_t c = 0; c < columns; ++c) y[c] = sums[c] + below[c];
    } else {
      std::copy_n(sums, columns, y);
    }
  }
}

int64_t round_up(int64_t value, int64_t step) { return (value + step - 1) / step * step; }

}  // namespace

void packed_matmul(const PackedMatrix& w, const float* x, int64_t rows, const float* bias, float* packed, float* y) {
  alignas(64) float sums[Tile16::rows * Tile16::columns];
  for (int64_t begin = 0; begin < w.inputs; begin += kDepth) {
    const int64_t depth = std::min(kDepth, w.inputs - begin);
    pack_rows(x + begin, w.inputs, rows, depth, packed);
    for (int64_t column = 0; column < w.outputs; column += w.panel) {
      const float* panel = reinterpret_cast<const float*>(w.panels.get()) + column * w.inputs + begin * w.panel;
      const int64_t columns = std::min(w.panel, w.outputs - column);
      for (int64_t row = 0; row < rows; row += kernel.rows) {
        kernel.multiply(packed + row * depth, panel, depth, sums);
        store_tile(sums, std::min(kernel.rows, rows - row), columns, bias ? bias + column : nullptr, begin == 0,
                   y + row * w.outputs + column, w.outputs);
      }
    }
  }
}

int64_t packed_matmul_scratch(const PackedMatrix& w, int64_t rows) { return round_up(rows, kernel.rows) * std::min(kDepth, w.inputs); }

size_t PackedMatrix::bytes() const { return panels ? static_cast<size_t>(round_up(outputs, panel) * inputs) * sizeof(float) : 0; }

PackedMatrix pack_matrix(const float* weight, int64_t outputs, int64_t inputs) {
  PackedMatrix w{{}, outputs, inputs, kernel.columns};
  if (!kernel.multiply) return w;
  const int64_t padded = round_up(outputs, w.panel);
  w.panels = allocate_aligned(static_cast<size_t>(padded * inputs) * sizeof(float));
  auto* to = reinterpret_cast<float*>(w.panels.get());
  for (int64_t column = 0; column < padded; column += w.panel)
    for (int64_t i = 0; i < inputs; ++i)
      for (int64_t c = column; c < column + w.panel; ++c) *to++ = c < outputs ? weight[c * inputs + i] : 0;
  return w;
}

void packed_matmul(Context& context, const PackedMatrix& w, const float* x, int64_t rows, const float* bias, float* y) {
  if (rows == 0) return;
  // As many equal blocks as there are threads, or a multiple of that.
  const int64_t threads = context.pool.size();
  const int64_t block = round_up((rows - 1) / round_up((rows + kRowBlock - 1) / kRowBlock, threads) + 1, kernel.rows);
  const int64_t floats = packed_matmul_scratch(w, block);
  Arena::Scope scope(context.arena);
  const auto packed = context.arena.take<float>(static_cast<size_t>(threads * floats));
  context.pool.run((rows + block - 1) / block, [&](int64_t index, int worker) {
    const int64_t first = index * block;
    packed_matmul(w, x + first * w.inputs, std::min(block, rows - first), bias, packed.data() + worker * floats, y + first * w.outputs);
  });
}

}  // namespace clip_es::ops
