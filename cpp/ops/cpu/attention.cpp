#include "ops/attention.h"

#include <cmath>
#include <vector>

#include "ops/cpu/simd.h"
#include "ops/ops.h"
#include "torch/matmul.h"

namespace clip_es::ops {
namespace {

constexpr int64_t kBlock = 128;  // query rows whose scores (128 x n floats) stay in a core's second-level cache

using torch::MatrixView;

// Rows [begin, begin + rows) of one head's queries (part 0), keys (1) or values (2).
MatrixView head_rows(const AttentionInput& in, int64_t part, int64_t head, int64_t begin, int64_t rows) {
  const int64_t size = in.width / in.heads;
  return {in.qkv + begin * 3 * in.width + part * in.width + head * size, rows, size, 3 * in.width, 1};
}

// Softmax of a block's scores (rows, length); row r may see the first `visible(r)` keys.
void block_softmax(float* scores, int64_t rows, int64_t length, int64_t first_row, bool causal, float scale, float* log_sum_exp) {
  for (int64_t r = 0; r < rows; ++r) {
    float* row = scores + r * length;
    const int64_t visible = causal ? first_row + r + 1 : length;
    const float l = softmax(row, visible, scale);
    for (int64_t j = visible; j < length; ++j) row[j] = 0;
    if (log_sum_exp) log_sum_exp[r] = l;
  }
}

CLIP_ES_MULTIVERSION void add_scaled(float* sum, const float* x, int64_t count, float factor) {
  for (int64_t i = 0; i < count; ++i) sum[i] += factor * x[i];
}

struct Block {
  Sequence sequence;
  int64_t first;  // row within the sequence
  int64_t rows() const { return std::min(kBlock, sequence.length - first); }
};

// All heads of one block. `scores` is scratch of kBlock x the sequence's length. mean may be null.
void attend(const AttentionInput& in, const Block& block, int64_t tokens, bool causal, float* scores, float* out, float* log_sum_exp,
            float mean_weight, float* mean) {
  const auto [begin, length] = block.sequence;
  const int64_t rows = block.rows(), row = begin + block.first, size = in.width / in.heads;
  for (int64_t head = 0; head < in.heads; ++head) {
    torch::matmul(head_rows(in, 0, head, row, rows), torch::transposed(head_rows(in, 1, head, begin, length)), scores, length);
    block_softmax(scores, rows, length, block.first, causal, in.scale(), log_sum_exp ? log_sum_exp + head * tokens + row : nullptr);
    torch::matmul(torch::matrix(scores, rows, length), head_rows(in, 2, head, begin, length), out + row * in.width + head * size, in.width);
    if (!mean) continue;
    for (int64_t r = 0; r < rows; ++r)
      if (const int64_t patch = block.first + r - 1; patch >= 0)
        add_scaled(mean + patch * (length - 1), scores + r * length + 1, length - 1, mean_weight / static_cast<float>(in.heads));
  }
}

void attend_all(Context& context, const AttentionInput& in, std::span<const Sequence> sequences, bool causal, float* out,
                float* log_sum_exp, float mean_weight, float* mean) {
  int64_t longest = 0, count = 0, tokens = 0;
  for (const Sequence& s : sequences) {
    longest = std::max(longest, s.length);
    count += (s.length + kBlock - 1) / kBlock;
    tokens += s.length;
  }
  Arena::Scope scope(context.arena);
  const auto blocks = context.arena.take<Block>(static_cast<size_t>(count));
  const auto scores = context.arena.take<float>(static_cast<size_t>(context.pool.size() * kBlock * longest));
  size_t next = 0;
  for (const Sequence& s : sequences)
    for (int64_t first = 0; first < s.length; first += kBlock) blocks[next++] = {s, first};
  context.pool.run(count, [&](int64_t index, int worker) {
    attend(in, blocks[static_cast<size_t>(index)], tokens, causal, scores.data() + worker * kBlock * longest, out, log_sum_exp, mean_weight,
           mean);
  });
}

}  // namespace

float AttentionInput::scale() const { return 1.0f / std::sqrt(static_cast<float>(width / heads)); }

void attention(Context& context, const AttentionInput& in, std::span<const Sequence> sequences, bool causal, float* out,
               float* log_sum_exp) {
  attend_all(context, in, sequences, causal, out, log_sum_exp, 0, nullptr);
}

void attention_with_mean(Context& context, const AttentionInput& in, int64_t n, float* out, float* log_sum_exp, float weight, float* mean) {
  const Sequence image{0, n};
  attend_all(context, in, {&image, 1}, false, out, log_sum_exp, weight, mean);
}

}  // namespace clip_es::ops
