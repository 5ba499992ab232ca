// After Goto and van de Geijn, "Anatomy of high-performance matrix multiplication" (2008): a tile of y stays in registers while a tile of x
// and a panel of weights, both packed in the order of use, are read. The panel stays in the first caches, and a block of x in the
// last-level cache.
#include "ops/packed_matmul.h"

#include <algorithm>

#include "ops/cpu/kernels.h"
#include "ops/cpu/pack.h"

namespace clip_es::ops {
namespace {

constexpr int64_t kRowBlock = 1056;  // most rows of x that are packed at a time; many, because each block reads all weights
constexpr int64_t kWords = 768;      // words of each row that a tile multiplies at a time; a multiple of kMaxChunk

int64_t panel_words(const PackedMatrix& w) {
  const ProductTile& t = product_tile(w.precision);
  return round_up(w.outputs, t.columns) * t.words(w.inputs);
}

const uint32_t* words_of(const PackedMatrix& w) { return reinterpret_cast<const uint32_t*>(w.panels.data()); }

// A matrix, and its panels while they are written.
struct NewMatrix {
  PackedMatrix matrix;
  std::span<uint32_t> words;
};

NewMatrix allocate(Precision precision, int64_t outputs, int64_t inputs) {
  PackedMatrix w{precision, outputs, inputs, {}, {}};
  const auto words = static_cast<size_t>(panel_words(w)), bytes = words * sizeof(uint32_t);
  AlignedBytes panels = allocate_aligned(bytes);
  auto* const first = reinterpret_cast<uint32_t*>(panels.get());
  w.panels = to_array(std::move(panels), bytes);
  return {std::move(w), {first, words}};
}

// Prefetches a tile of y for writing.
void prefetch_tile(const float* y, int64_t rows, int64_t columns, int64_t row_stride) {
  constexpr int64_t kLine = 64 / sizeof(float);
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < columns; c += kLine) __builtin_prefetch(y + r * row_stride + c, 1);
}

// Multiplies words [begin, begin + words) of packed rows of x (`stride` words each) by the same words of w: panel by panel of outputs, and
// within a panel tile by tile of rows. Calls before(row, rows, column, columns) before each tile and after(sums, row, rows, column,
// columns) after it; the rows of sums are tile.columns floats apart.
template <class Before, class After>
void multiply_tiles(const PackedMatrix& w, const uint32_t* packed, int64_t stride, int64_t begin, int64_t words, int64_t rows,
                    Before before, After after) {
  const ProductTile& t = product_tile(w.precision);
  alignas(64) float sums[kMaxTileRows * kMaxTileColumns];
  for (int64_t column = 0; column < w.outputs; column += t.columns) {
    const uint32_t* panel = words_of(w) + column * t.words(w.inputs) + begin * t.columns;
    const int64_t columns = std::min(t.columns, w.outputs - column);
    for (int64_t row = 0; row < rows; row += t.rows) {
      const int64_t here = std::min(t.rows, rows - row);
      before(row, here, column, columns);
      t.multiply(packed + row * stride, panel, words, here, sums, t.columns);
      after(sums, row, here, column, columns);
    }
  }
}

// The rows of one block: there are as many equal blocks as threads, or a multiple of that.
int64_t block_rows(const HostContext& context, Precision precision, int64_t rows) {
  return round_up((rows - 1) / round_up((rows + kRowBlock - 1) / kRowBlock, context.pool.size()) + 1, product_tile(precision).rows);
}

// The working memory of one product.
struct Scratch {
  uint32_t* packed;   // x in words
  float* row_memory;  // (kPackedTogether, inputs): rows of x that are computed on demand
  RowScale* scales;   // (rows), for kInt8

  // Places the arrays one after the other in memory, which may be null. Returns their size in bytes.
  int64_t bind(std::byte* memory, const PackedMatrix& w, int64_t rows) {
    const ProductTile& t = product_tile(w.precision);
    int64_t used = 0;
    const auto take = [&](int64_t bytes) {
      used += round_up(bytes, 64);
      return memory + used - round_up(bytes, 64);
    };
    packed = reinterpret_cast<uint32_t*>(take(round_up(rows, t.rows) * t.words(w.inputs) * sizeof *packed));
    row_memory = reinterpret_cast<float*>(take(kPackedTogether * w.inputs * sizeof *row_memory));
    scales = reinterpret_cast<RowScale*>(take(w.precision == Precision::kInt8 ? rows * sizeof *scales : 0));
    return used;
  }
};

}  // namespace

int64_t packed_matmul_scratch(const PackedMatrix& w, int64_t rows) { return Scratch{}.bind(nullptr, w, rows); }

void packed_matmul(const PackedMatrix& w, const RowSource& x, int64_t rows, const Epilogue& epilogue, std::byte* memory, float* y) {
  const Kernels& k = kernels();
  const ProductTile& t = product_tile(w.precision);
  const bool integers = w.precision == Precision::kInt8;
  // Sums of integers are rescaled once, so they need the whole depth at a time.
  const int64_t words = t.words(w.inputs), step = integers ? words : kWords;
  Scratch s;
  s.bind(memory, w, rows);
  pack_rows(w.precision, x, s.row_memory, rows, w.inputs, t.rows, s.packed, s.scales);
  for (int64_t begin = 0; begin < words; begin += step) {
    const bool first = begin == 0, last = begin + step >= words;
    const auto before = [&](int64_t row, int64_t here, int64_t column, int64_t columns) {
      prefetch_tile(y + row * w.outputs + column, here, columns, w.outputs);
    };
    const auto after = [&](float* sums, int64_t row, int64_t here, int64_t column, int64_t columns) {
      float* to = y + row * w.outputs + column;
      if (integers) k.rescale(sums, here, columns, t.columns, s.scales + row, w.scales.data() + column);
      const float* bias = first && epilogue.bias ? epilogue.bias + column : nullptr;
      k.store_tile(sums, here, columns, t.columns, bias, !first || epilogue.add, to, w.outputs);
      if (last && epilogue.activation)
        for (int64_t r = 0; r < here; ++r) activate(*epilogue.activation, to + r * w.outputs, columns, w.precision);
    };
    multiply_tiles(w, s.packed + begin * t.rows, words, begin, std::min(step, words - begin), rows, before, after);
  }
}

size_t PackedMatrix::bytes() const { return panels.size_bytes() + scales.size() * sizeof(float); }

PackedMatrix pack_matrix(Precision precision, const float* weight, int64_t outputs, int64_t inputs) {
  const ProductTile& t = product_tile(precision);
  auto [matrix, words] = allocate(precision, outputs, inputs);
  if (precision != Precision::kInt8) {
    pack_rows(precision, weight, inputs, outputs, inputs, t.columns, words.data());
    return std::move(matrix);
  }
  std::vector<RowScale> scales(static_cast<size_t>(outputs));
  pack_rows(precision, weight, inputs, outputs, inputs, t.columns, words.data(), scales.data());
  for (const RowScale& s : scales) matrix.scales.push_back(s.scale);
  constexpr uint32_t kZeros = kPanelZero * 0x01010101u;  // adds 128, if not 0, to four signed bytes by flipping their signs
  for (uint32_t& word : words) word ^= kZeros;
  return std::move(matrix);
}

PackedMatrix pack_transposed_matrix(Precision precision, const float* weight, int64_t outputs, int64_t inputs) {
  auto [matrix, words] = allocate(precision, outputs, inputs);
  pack_columns(precision, weight, outputs, inputs, outputs, product_tile(precision).columns, words.data());
  return std::move(matrix);
}

void packed_matmul(HostContext& context, const PackedMatrix& w, const RowSource& x, int64_t rows, const Epilogue& epilogue, float* y) {
  if (rows == 0) return;
  const int64_t block = block_rows(context, w.precision, rows), bytes = packed_matmul_scratch(w, block);
  Arena::Scope scope(context.arena);
  const auto scratch = context.arena.take<std::byte>(context.pool.size() * bytes);
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
  const Kernels& k = kernels();
  const PackedMatrix &w_in = in.weight, &w_out = out.weight;
  const ProductTile& t = product_tile(w_in.precision);
  const int64_t block = block_rows(context, w_in.precision, rows), bytes = packed_matmul_scratch(w_in, block);
  const int64_t words = t.words(w_in.inputs), hidden = t.words(w_out.inputs);
  Arena::Scope scope(context.arena);
  const auto scratch = context.arena.take<std::byte>(context.pool.size() * bytes);
  const auto all_activations = context.arena.take<uint32_t>(context.pool.size() * block * hidden);
  context.pool.run((rows + block - 1) / block, [&](int64_t index, int worker) {
    const int64_t first = index * block, count = std::min(block, rows - first);
    Scratch s;
    s.bind(scratch.data() + worker * bytes, w_in, block);
    uint32_t* activations = all_activations.data() + worker * block * hidden;
    float* to = y + first * w_out.outputs;
    pack_rows(
        w_in.precision, [&](int64_t row, float* memory) { return x(first + row, memory); }, s.row_memory, count, w_in.inputs, t.rows,
        s.packed);
    const auto activate_tile = [&](float* sums, int64_t row, int64_t here, int64_t column, int64_t columns) {
      k.add_bias(sums, here, columns, t.columns, in.bias + column);
      activate(activation, sums, here * t.columns, w_in.precision);
      pack_rows(w_in.precision, sums, t.columns, here, columns, t.rows, activations + row * hidden + t.words(column) * t.rows);
    };
    multiply_tiles(
        w_in, s.packed, words, 0, words, count, [](auto...) {}, activate_tile);
    for (int64_t begin = 0; begin < hidden; begin += kWords) {
      const auto before = [&](int64_t row, int64_t here, int64_t column, int64_t columns) {
        prefetch_tile(to + row * w_out.outputs + column, here, columns, w_out.outputs);
      };
      const auto add = [&](float* sums, int64_t row, int64_t here, int64_t column, int64_t columns) {
        k.store_tile(sums, here, columns, t.columns, begin == 0 ? out.bias + column : nullptr, true, to + row * w_out.outputs + column,
                     w_out.outputs);
      };
      multiply_tiles(w_out, activations + begin * t.rows, hidden, begin, std::min(kWords, hidden - begin), count, before, add);
    }
  });
}

}  // namespace clip_es::ops
