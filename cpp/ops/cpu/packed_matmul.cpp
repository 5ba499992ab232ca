// After Goto and van de Geijn, "Anatomy of high-performance matrix multiplication" (2008): a tile of y stays in registers while a tile of
// x and a panel of weights, both packed in the order of use, stream past it; a panel stays in the first caches meanwhile, a block of x in
// the last.
#include "ops/packed_matmul.h"

#include <algorithm>

#include "core/multiversion.h"
#include "ops/cpu/pack.h"

namespace clip_es::ops {
namespace {

constexpr int64_t kRowBlock = 1056;          // most rows of x that are packed together, so that weights are read once
constexpr int64_t kWords = 768;              // of each, that a tile multiplies at a time
constexpr float kZero = 128;                 // of the integers in panels
constexpr uint32_t kFlipSigns = 0x80808080;  // q -> q + 128, as unsigned numbers

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

CLIP_ES_MULTIVERSION void add_bias(float* sums, int64_t rows, int64_t columns, int64_t stride, const float* bias) {
  for (int64_t r = 0; r < rows; ++r, sums += stride)
    for (int64_t c = 0; c < columns; ++c) sums[c] += bias[c];
}

// y = sums + bias + y, the last two where there are any.
CLIP_ES_MULTIVERSION void store_tile(const float* sums, int64_t rows, int64_t columns, int64_t stride, const float* bias, bool add,
                                     float* y, int64_t row_stride) {
  for (int64_t r = 0; r < rows; ++r, sums += stride, y += row_stride)
    if (bias && add)
      for (int64_t c = 0; c < columns; ++c) y[c] += sums[c] + bias[c];
    else if (bias)
      for (int64_t c = 0; c < columns; ++c) y[c] = sums[c] + bias[c];
    else if (add)
      for (int64_t c = 0; c < columns; ++c) y[c] += sums[c];
    else
      for (int64_t c = 0; c < columns; ++c) y[c] = sums[c];
}

// What will be written is fetched while the tile is computed.
void prefetch(const float* y, int64_t rows, int64_t columns, int64_t row_stride) {
  constexpr int64_t kLine = 64 / sizeof(float);
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < columns; c += kLine) __builtin_prefetch(y + r * row_stride + c, 1);
}

// Of rows of x that are packed in `stride` words each, the words [begin, begin + words), times the same words of w. Panel by panel of
// outputs, tile by tile of rows: fetch(row, rows, column, columns), then finish(sums, the same), sums a tile's columns apart.
template <class Fetch, class Finish>
void multiply_tiles(const PackedMatrix& w, const uint32_t* packed, int64_t stride, int64_t begin, int64_t words, int64_t rows, Fetch fetch,
                    Finish finish) {
  const Tile& t = tile(w.precision);
  alignas(64) float sums[kMostTileRows * kMostTileColumns];
  for (int64_t column = 0; column < w.outputs; column += t.columns) {
    const uint32_t* panel = words_of(w) + column * t.words(w.inputs) + begin * t.columns;
    const int64_t columns = std::min(t.columns, w.outputs - column);
    for (int64_t row = 0; row < rows; row += t.rows) {
      const int64_t here = std::min(t.rows, rows - row);
      fetch(row, here, column, columns);
      t.multiply(packed + row * stride, panel, words, here, sums, t.columns);
      finish(sums, row, here, column, columns);
    }
  }
}

// Rows to a thread at a time: as many equal blocks as there are threads, or a multiple of that.
int64_t block_of(const HostContext& context, Precision precision, int64_t rows) {
  return round_up((rows - 1) / round_up((rows + kRowBlock - 1) / kRowBlock, context.pool.size()) + 1, tile(precision).rows);
}

// What a product works in: x in words, where its rows are made, and the scales of 8-bit integers.
struct Scratch {
  uint32_t* packed;
  float* made;  // (kRowsMade, inputs)
  RowScale* scales;

  // Lays the pieces one behind the other; -> bytes in all.
  int64_t bind(std::byte* memory, const PackedMatrix& w, int64_t rows) {
    const Tile& t = tile(w.precision);
    int64_t used = 0;
    const auto take = [&](int64_t bytes) {
      used += round_up(bytes, 64);
      return memory + used - round_up(bytes, 64);
    };
    packed = reinterpret_cast<uint32_t*>(take(round_up(rows, t.rows) * t.words(w.inputs) * static_cast<int64_t>(sizeof *packed)));
    made = reinterpret_cast<float*>(take(kRowsMade * w.inputs * static_cast<int64_t>(sizeof *made)));
    scales = reinterpret_cast<RowScale*>(take(w.precision == Precision::kInt8 ? rows * static_cast<int64_t>(sizeof *scales) : 0));
    return used;
  }
};

}  // namespace

int64_t packed_matmul_scratch(const PackedMatrix& w, int64_t rows) { return Scratch{}.bind(nullptr, w, rows); }

void packed_matmul(const PackedMatrix& w, const RowSource& x, int64_t rows, const Epilogue& epilogue, std::byte* memory, float* y) {
  const Tile& t = tile(w.precision);
  const bool integers = w.precision == Precision::kInt8;  // whose sums are rescaled once
  const int64_t words = t.words(w.inputs), step = integers ? words : kWords;
  Scratch s;
  s.bind(memory, w, rows);
  pack_rows(w.precision, x, s.made, rows, w.inputs, t.rows, s.packed, s.scales);
  for (int64_t begin = 0; begin < words; begin += step) {
    const bool first = begin == 0, last = begin + step >= words;
    const auto fetch = [&](int64_t row, int64_t here, int64_t column, int64_t columns) {
      prefetch(y + row * w.outputs + column, here, columns, w.outputs);
    };
    const auto finish = [&](float* sums, int64_t row, int64_t here, int64_t column, int64_t columns) {
      float* to = y + row * w.outputs + column;
      if (integers) rescale(sums, here, columns, t.columns, s.scales + row, w.scales.data() + column);
      const float* bias = first && epilogue.bias ? epilogue.bias + column : nullptr;
      store_tile(sums, here, columns, t.columns, bias, !first || epilogue.add, to, w.outputs);
      if (last && epilogue.activation)
        for (int64_t r = 0; r < here; ++r) activate(*epilogue.activation, to + r * w.outputs, columns, w.precision);
    };
    multiply_tiles(w, s.packed + begin * t.rows, words, begin, std::min(step, words - begin), rows, fetch, finish);
  }
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

void packed_matmul(HostContext& context, const PackedMatrix& w, const RowSource& x, int64_t rows, const Epilogue& epilogue, float* y) {
  if (rows == 0) return;
  const int64_t block = block_of(context, w.precision, rows), bytes = packed_matmul_scratch(w, block);
  Arena::Scope scope(context.arena);
  const auto scratch = context.arena.take<std::byte>(static_cast<size_t>(context.pool.size() * bytes));
  context.pool.run((rows + block - 1) / block, [&](int64_t index, int worker) {
    const int64_t first = index * block;
    packed_matmul(
        w, [&](int64_t row, float* memory) { return x(first + row, memory); }, std::min(block, rows - first), epilogue,
        scratch.data() + worker * bytes, y + first * w.outputs);
  });
}

void packed_matmul(HostContext& context, const PackedMatrix& w, const float* x, int64_t rows, const Epilogue& epilogue, float* y) {
  packed_matmul(
      context, w, [&](int64_t row, float*) { return x + row * w.inputs; }, rows, epilogue, y);
}

void packed_feed_forward(HostContext& context, const PackedLayer& in, Activation activation, const PackedLayer& out, const RowSource& x,
                         int64_t rows, float* y) {
  if (rows == 0) return;
  const PackedMatrix &w_in = in.weight, &w_out = out.weight;
  const Tile& t = tile(w_in.precision);
  const int64_t block = block_of(context, w_in.precision, rows), bytes = packed_matmul_scratch(w_in, block);
  const int64_t words = t.words(w_in.inputs), hidden = t.words(w_out.inputs);
  Arena::Scope scope(context.arena);
  const auto scratch = context.arena.take<std::byte>(static_cast<size_t>(context.pool.size() * bytes));
  const auto activations = context.arena.take<uint32_t>(static_cast<size_t>(context.pool.size() * block * hidden));
  context.pool.run((rows + block - 1) / block, [&](int64_t index, int worker) {
    const int64_t first = index * block, count = std::min(block, rows - first);
    Scratch s;
    s.bind(scratch.data() + worker * bytes, w_in, block);
    uint32_t* between = activations.data() + worker * block * hidden;
    float* to = y + first * w_out.outputs;
    pack_rows(
        w_in.precision, [&](int64_t row, float* memory) { return x(first + row, memory); }, s.made, count, w_in.inputs, t.rows, s.packed);
    const auto activate_tile = [&](float* sums, int64_t row, int64_t here, int64_t column, int64_t columns) {
      add_bias(sums, here, columns, t.columns, in.bias + column);
      activate(activation, sums, here * t.columns, w_in.precision);
      pack_rows(w_in.precision, sums, t.columns, here, columns, t.rows, between + row * hidden + t.words(column) * t.rows);
    };
    multiply_tiles(
        w_in, s.packed, words, 0, words, count, [](auto...) {}, activate_tile);
    for (int64_t begin = 0; begin < hidden; begin += kWords) {
      const auto fetch = [&](int64_t row, int64_t here, int64_t column, int64_t columns) {
        prefetch(to + row * w_out.outputs + column, here, columns, w_out.outputs);
      };
      const auto add = [&](float* sums, int64_t row, int64_t here, int64_t column, int64_t columns) {
        store_tile(sums, here, columns, t.columns, begin == 0 ? out.bias + column : nullptr, true, to + row * w_out.outputs + column,
                   w_out.outputs);
      };
      multiply_tiles(w_out, between + begin * t.rows, hidden, begin, std::min(kWords, hidden - begin), count, fetch, add);
    }
  });
}

}  // namespace clip_es::ops
