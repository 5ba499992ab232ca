// After Goto and van de Geijn, "Anatomy of high-performance matrix multiplication" (2008): a tile of y stays in registers while a tile of
// x and a panel of weights, both packed in the order of use, stream past it; a panel stays in the first caches meanwhile, a block of x in
// the last.
#include "ops/packed_matmul.h"

#include <algorithm>

#include "core/multiversion.h"
#include "ops/cpu/pack.h"

namespace clip_es::ops {
namespace {

constexpr int64_t kRowBlock = 1056, kWords = 768;  // of x, packed together: most rows, so that weights are read once, and words of each
constexpr float kZero = 128;                       // of the integers in panels
constexpr uint32_t kFlipSigns = 0x80808080;        // q -> q + 128, as unsigned numbers

int64_t panel_words(const PackedMatrix& w) {
  const Tile& t = tile(w.precision);
  return round_up(w.outputs, t.columns) * t.words(w.inputs);
}

PackedMatrix allocate(Precision precision, int64_t outputs, int64_t inputs) {
  PackedMatrix w{precision, outputs, inputs, {}, {}};
  w.panels = allocate_aligned(static_cast<size_t>(panel_words(w)) * sizeof(uint32_t));
  return w;
}

uint32_t* words_of(const PackedMatrix& w) { return reinterpret_cast<uint32_t*>(w.panels.get()); }

// A tile's products of integers as numbers: weights have their zero at 128.
CLIP_ES_MULTIVERSION void rescale(float* sums, int64_t rows, int64_t columns, int64_t stride, const RowScale* x, const float* w) {
  for (int64_t r = 0; r < rows; ++r, sums += stride) {
    const float zero = kZero * x[r].sum, scale = x[r].scale;
#pragma omp simd
    for (int64_t c = 0; c < columns; ++c) sums[c] = (sums[c] - zero) * (scale * w[c]);
  }
}

// sums += bias, and += y where there is something to add to.
CLIP_ES_MULTIVERSION void add_to_tile(float* sums, int64_t rows, int64_t columns, int64_t stride, const float* bias, const float* y,
                                      int64_t row_stride) {
  for (int64_t r = 0; r < rows; ++r, sums += stride) {
    if (bias)
#pragma omp simd
      for (int64_t c = 0; c < columns; ++c) sums[c] += bias[c];
    if (y)
#pragma omp simd
      for (int64_t c = 0; c < columns; ++c) sums[c] += y[r * row_stride + c];
  }
}

CLIP_ES_MULTIVERSION void store_tile(const float* sums, int64_t rows, int64_t columns, int64_t stride, float* y, int64_t row_stride) {
  for (int64_t r = 0; r < rows; ++r, sums += stride, y += row_stride)
    for (int64_t c = 0; c < columns; ++c) y[c] = sums[c];
}

// What will be written is fetched while the tile is computed.
void prefetch(const float* y, int64_t rows, int64_t columns, int64_t row_stride) {
  constexpr int64_t kLine = 64 / sizeof(float);
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < columns; c += kLine) __builtin_prefetch(y + r * row_stride + c, 1);
}

}  // namespace

void packed_matmul(const PackedMatrix& w, const float* x, int64_t rows, const Epilogue& epilogue, std::byte* scratch, float* y) {
  const Tile& t = tile(w.precision);
  const bool integers = w.precision == Precision::kInt8;
  auto* packed = reinterpret_cast<uint32_t*>(scratch);
  auto* scales = reinterpret_cast<RowScale*>(packed + round_up(rows, t.rows) * std::min(kWords, t.words(w.inputs)));
  alignas(64) float sums[kMostTileRows * kMostTileColumns];
  for (int64_t begin = 0; begin < w.inputs; begin += kWords * t.group) {
    const int64_t depth = std::min(kWords * t.group, w.inputs - begin), words = t.words(depth);
    const bool first = begin == 0, last = begin + depth == w.inputs;
    pack_rows(w.precision, x + begin, w.inputs, rows, depth, t.rows, packed, scales);
    for (int64_t column = 0; column < w.outputs; column += t.columns) {
      const uint32_t* panel = words_of(w) + column * t.words(w.inputs) + t.words(begin) * t.columns;
      const int64_t columns = std::min(t.columns, w.outputs - column);
      for (int64_t row = 0; row < rows; row += t.rows) {
        const int64_t here = std::min(t.rows, rows - row);
        float* to = y + row * w.outputs + column;
        prefetch(to, here, columns, w.outputs);
        t.multiply(packed + row * words, panel, words, sums, t.columns);
        if (integers) rescale(sums, here, columns, t.columns, scales + row, w.scales.data() + column);
        add_to_tile(sums, here, columns, t.columns, first && epilogue.bias ? epilogue.bias + column : nullptr,
                    first && !epilogue.add ? nullptr : to, w.outputs);
        if (last && epilogue.activation) activate(*epilogue.activation, sums, here * t.columns);
        store_tile(sums, here, columns, t.columns, to, w.outputs);
      }
    }
  }
}

int64_t packed_matmul_scratch(const PackedMatrix& w, int64_t rows) {
  const Tile& t = tile(w.precision);
  const int64_t words = round_up(rows, t.rows) * std::min(kWords, t.words(w.inputs));
  const int64_t scales = w.precision == Precision::kInt8 ? rows : 0;
  return round_up(words * static_cast<int64_t>(sizeof(uint32_t)) + scales * static_cast<int64_t>(sizeof(RowScale)), 64);
}

size_t PackedMatrix::bytes() const {
  return panels ? static_cast<size_t>(panel_words(*this)) * sizeof(uint32_t) + scales.size() * sizeof(float) : 0;
}

PackedMatrix pack_matrix(Precision precision, const float* weight, int64_t outputs, int64_t inputs) {
  const Tile& t = tile(precision);
  PackedMatrix w = allocate(precision, outputs, inputs);
  if (precision != Precision::kInt8) {
    pack_rows(precision, weight, inputs, outputs, inputs, t.columns, words_of(w));
    return w;
  }
  std::vector<RowScale> scales(static_cast<size_t>(outputs));
  pack_rows(precision, weight, inputs, outputs, inputs, t.columns, words_of(w), scales.data());
  for (const RowScale& s : scales) w.scales.push_back(s.scale);
  for (int64_t i = 0; i < panel_words(w); ++i) words_of(w)[i] ^= kFlipSigns;
  return w;
}

PackedMatrix pack_transposed_matrix(Precision precision, const float* weight, int64_t outputs, int64_t inputs) {
  PackedMatrix w = allocate(precision, outputs, inputs);
  pack_columns(precision, weight, outputs, inputs, outputs, tile(precision).columns, words_of(w));
  return w;
}

void packed_matmul(Context& context, const PackedMatrix& w, const float* x, int64_t rows, const Epilogue& epilogue, float* y) {
  if (rows == 0) return;
  // As many equal blocks as there are threads, or a multiple of that.
  const int64_t threads = context.pool.size();
  const int64_t block = round_up((rows - 1) / round_up((rows + kRowBlock - 1) / kRowBlock, threads) + 1, tile(w.precision).rows);
  const int64_t bytes = packed_matmul_scratch(w, block);
  Arena::Scope scope(context.arena);
  const auto scratch = context.arena.take<std::byte>(static_cast<size_t>(threads * bytes));
  context.pool.run((rows + block - 1) / block, [&](int64_t index, int worker) {
    const int64_t first = index * block;
    packed_matmul(w, x + first * w.inputs, std::min(block, rows - first), epilogue, scratch.data() + worker * bytes, y + first * w.outputs);
  });
}

}  // namespace clip_es::ops
