// Computes one tile of query rows and one head at a time. Its scores are computed, exponentiated, added to the mean and multiplied by the
// values while they are in the first caches of the core. Keys and values are packed once for all tiles. At the end, rows are divided by
// their sums.
#include "ops/attention.h"

#include <cmath>
#include <cstdlib>

#include "ops/cpu/kernels.h"
#include "ops/cpu/pack.h"
#include "ops/ops.h"

namespace clip_es::ops {
namespace {

constexpr int64_t kBlock = 11 * kMaxTileRows;  // query rows for one thread: their mean (132 x n floats) stays in the second-level cache

// Sizes of the packed arrays of one sequence and one head, in words.
struct Sizes {
  const ProductTile& t;
  int64_t length, head_size;
  int64_t keys() const { return round_up(length, t.columns); }
  int64_t packed_keys() const { return keys() * t.words(head_size); }
  int64_t packed_values() const { return round_up(head_size, t.columns) * t.words(length); }
  int64_t packed_rows() const { return t.rows * std::max(t.words(head_size), t.words(length)); }
};

// A NeighbourPrior, divided by the scale of the scores.
struct MirroredPrior {
  std::span<const float> rows;      // by distance
  std::span<const float> mirrored;  // (2 width - 1): the columns' factors, from distance -(width - 1) to width - 1
  float scale;

  int64_t width() const { return (std::ssize(mirrored) + 1) / 2; }
  int64_t patches() const { return std::ssize(rows) * width(); }
  // Adds the prior of one patch to its scores (patches).
  void add(const Kernels& k, int64_t patch, float* scores) const {
    const int64_t y = patch / width(), x = patch % width();
    for (int64_t row = 0; row < std::ssize(rows); ++row)
      k.add_scaled(scores + row * width(), mirrored.data() + width() - 1 - x, width(), rows[std::abs(row - y)] / scale);
  }
};

struct Job {
  const AttentionInput& in;
  int64_t tokens;  // in all sequences
  bool causal;
  float* out;
  float* log_sum_exp;  // or null
  float mean_weight;
  float* mean;                           // or null
  const MirroredPrior* prior = nullptr;  // or null

  int64_t head_size() const { return in.width / in.heads; }
  // A token's query (part 0), key (1) or value (2).
  const float* row(int64_t part, int64_t head, int64_t token) const {
    return in.qkv + token * 3 * in.width + part * in.width + head * head_size();
  }
};

// The keys and values of one sequence, head by head, in the order of use.
struct Packed {
  Sequence sequence;
  Sizes sizes;
  uint32_t *keys, *values;
};

void pack_head(const Job& job, const Packed& p, int64_t head) {
  const auto [begin, length] = p.sequence;
  const int64_t stride = 3 * job.in.width, size = job.head_size();
  pack_rows(job.in.precision, job.row(1, head, begin), stride, length, size, p.sizes.t.columns, p.keys + head * p.sizes.packed_keys());
  pack_columns(job.in.precision, job.row(2, head, begin), stride, length, size, p.sizes.t.columns,
               p.values + head * p.sizes.packed_values());
}

// The working memory of one thread.
struct Scratch {
  float* scores;     // (tile.rows, keys)
  float* result;     // (tile.rows, head size rounded up to whole tiles)
  uint32_t* packed;  // queries, then exponentials

  static int64_t results(const Sizes& s) { return s.t.rows * round_up(s.head_size, s.t.columns); }
  static int64_t words(const Sizes& s) { return round_up(s.t.rows * s.keys() + results(s) + s.packed_rows(), 16); }
  Scratch(uint32_t* memory, const Sizes& s)
      : scores(reinterpret_cast<float*>(memory)), result(scores + s.t.rows * s.keys()), packed(memory + s.t.rows * s.keys() + results(s)) {}
};

// One head of query rows [first, first + rows) of a sequence, at most tile.rows of them.
void attend(const Kernels& k, const Job& job, const Packed& p, int64_t first, int64_t rows, int64_t head, const Scratch& s) {
  const auto [begin, length] = p.sequence;
  const ProductTile& t = p.sizes.t;
  const int64_t width = job.in.width, size = job.head_size(), keys = p.sizes.keys(), columns = round_up(size, t.columns);
  pack_rows(job.in.precision, job.row(0, head, begin + first), 3 * width, rows, size, t.rows, s.packed);
  multiply_packed(t, s.packed, p.keys + head * p.sizes.packed_keys(), t.words(size), rows, keys, s.scores);
  float factors[kMaxTileRows];
  for (int64_t r = 0; r < rows; ++r) {
    float* row = s.scores + r * keys;
    const int64_t visible = job.causal ? first + r + 1 : length;
    if (job.prior) {
      const int64_t others = length - job.prior->patches();  // tokens that are not patches
      if (first + r >= others) job.prior->add(k, first + r - others, row + others);
    }
    const ExponentialSum sum = exponentials(row, visible, job.in.scale(), job.in.precision);
    std::fill(row + visible, row + length, 0.0f);
    factors[r] = 1 / sum.sum;
    if (job.log_sum_exp) job.log_sum_exp[head * job.tokens + begin + first + r] = sum.log_sum_exp();
    if (const int64_t patch = first + r - 1; job.mean && patch >= 0)
      k.add_scaled(job.mean + patch * (length - 1), row + 1, length - 1, factors[r] * job.mean_weight / static_cast<float>(job.in.heads));
  }
  pack_rows(job.in.precision, s.scores, keys, rows, length, t.rows, s.packed);
  multiply_packed(t, s.packed, p.values + head * p.sizes.packed_values(), t.words(length), rows, columns, s.result);
  for (int64_t r = 0; r < rows; ++r) k.scale(job.out + (begin + first + r) * width + head * size, s.result + r * columns, size, factors[r]);
}

void attend_all(HostContext& context, const Job& job, std::span<const Sequence> sequences) {
  const Kernels& k = kernels();
  const ProductTile& t = product_tile(job.in.precision);
  const int64_t heads = job.in.heads, size = job.head_size(), count = std::ssize(sequences);
  Arena::Scope scope(context.arena);
  const auto packed = context.arena.take<Packed>(sequences.size());
  int64_t longest = 0, blocks = 0;
  for (size_t i = 0; i < sequences.size(); ++i) {
    const Sizes sizes{t, sequences[i].length, size};
    new (&packed[i]) Packed{sequences[i], sizes, context.arena.take<uint32_t>(heads * sizes.packed_keys()).data(),
                            context.arena.take<uint32_t>(heads * sizes.packed_values()).data()};
    longest = std::max(longest, sequences[i].length);
    blocks += (sequences[i].length + kBlock - 1) / kBlock;
  }
  context.pool.run(count * heads, [&](int64_t i, int) { pack_head(job, packed[i / heads], i % heads); });

  struct Block {
    const Packed* sequence;
    int64_t first;  // row within it
  };
  const auto rows = context.arena.take<Block>(blocks);
  size_t next = 0;
  for (const Packed& p : packed)
    for (int64_t first = 0; first < p.sequence.length; first += kBlock) rows[next++] = {&p, first};
  const int64_t words = Scratch::words({t, longest, size});
  const auto memory = context.arena.take<uint32_t>(context.pool.size() * words);
  context.pool.run(blocks, [&](int64_t index, int worker) {
    const auto [p, first] = rows[index];
    const Scratch scratch(memory.data() + worker * words, p->sizes);
    const int64_t end = std::min(first + kBlock, p->sequence.length);
    for (int64_t head = 0; head < heads; ++head)
      for (int64_t row = first; row < end; row += t.rows) attend(k, job, *p, row, std::min(t.rows, end - row), head, scratch);
  });
}

}  // namespace

float AttentionInput::scale() const { return 1.0f / std::sqrt(static_cast<float>(width / heads)); }

void attention(HostContext& context, const AttentionInput& in, std::span<const Sequence> sequences, bool causal, float* out,
               float* log_sum_exp) {
  attend_all(context, {in, sequences.back().begin + sequences.back().length, causal, out, log_sum_exp, 0, nullptr}, sequences);
}

void attention_with_mean(HostContext& context, const AttentionInput& in, int64_t n, float* out, float* log_sum_exp, float weight,
                         float* mean) {
  const Sequence image{0, n};
  attend_all(context, {in, n, false, out, log_sum_exp, weight, mean}, {&image, 1});
}

void attention_with_prior(HostContext& context, const AttentionInput& in, int64_t n, const NeighbourPrior* prior, float* out) {
  const Sequence image{0, n};
  Job job{in, n, false, out, nullptr, 0, nullptr};
  if (!prior) return attend_all(context, job, {&image, 1});
  Arena::Scope scope(context.arena);
  const auto width = std::ssize(prior->columns);
  const auto mirrored = context.arena.take<float>(2 * width - 1);
  for (int64_t d = 0; d < width; ++d) mirrored[width - 1 - d] = mirrored[width - 1 + d] = prior->columns[d];
  const MirroredPrior own{prior->rows, mirrored, in.scale()};
  job.prior = &own;
  attend_all(context, job, {&image, 1});
}

}  // namespace clip_es::ops
