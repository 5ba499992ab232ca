// P = softmax(scale q k^T) (n x n), o = P v, and dO is given for the patches i >= 1. With delta_i = dO_i . o_i:
//   dv_j = sum_i P_ij dO_i           summed over patches j >= 1:  sum_i (1 - P_i0) dO_i
//   dS_ij = P_ij (dO_i . v_j - delta_i)
//   dk_j = scale sum_i dS_ij q_i     summed over patches j >= 1:  minus the class token's term, because every row of dS sums to zero
//   dq_i = scale sum_j dS_ij k_j     summed over patches i >= 1:  scale sum_j (column sum of dS)_j k_j,
// and the column sums follow from P^T [dO | delta]. P^T is computed in blocks of its rows, the keys, which stay in the cache.
#include <algorithm>
#include <cmath>

#include "ops/attention.h"
#include "ops/cpu/kernels.h"
#include "ops/cpu/pack.h"
#include "ops/ops.h"

namespace clip_es::ops {
namespace {

constexpr int64_t kBlock = 11 * kMaxTileRows;  // keys at a time
constexpr int64_t kAhead = 4;                  // patches to prefetch

struct Job {
  const AttentionInput& in;
  int64_t n, classes;
  const float *out, *log_sum_exp, *out_gradient;
  float* qkv_gradient;

  int64_t size() const { return in.width / in.heads; }
  int64_t patches() const { return n - 1; }
  int64_t columns() const { return classes * (size() + 1); }  // of [dO | delta], one class after the other
};

// The working memory of one thread, for one head.
struct Scratch {
  float* gradients;                      // (patches, columns): [dO | delta]
  float* scores;                         // (kBlock, patches rounded up to whole tiles)
  float* product;                        // (kBlock, columns rounded up to whole tiles): P^T [dO | delta]
  uint32_t *queries, *packed_gradients;  // panels
  uint32_t* packed;                      // rows of keys, then of P^T

  // Places the arrays one after the other in memory, which may be null. Returns their size in words.
  int64_t bind(uint32_t* memory, const Job& job, const ProductTile& t) {
    int64_t used = 0;
    const auto take = [&](int64_t words) {
      used += round_up(words, 16);
      return memory ? memory + used - round_up(words, 16) : nullptr;
    };
    const int64_t patches = job.patches(), wide = round_up(patches, t.columns), columns = round_up(job.columns(), t.columns);
    gradients = reinterpret_cast<float*>(take(patches * job.columns()));
    scores = reinterpret_cast<float*>(take(kBlock * wide));
    product = reinterpret_cast<float*>(take(kBlock * columns));
    queries = take(wide * t.words(job.size()));
    packed_gradients = take(columns * t.words(patches));
    packed = take(kBlock * std::max(t.words(job.size()), t.words(patches)));
    return used;
  }
};

// The work of one head, done by one thread.
class Head {
 public:
  Head(const Job& job, int64_t head, const Scratch& scratch)
      : job_(job),
        k_(kernels()),
        t_(product_tile(job.in.precision)),
        size_(job.size()),
        scale_(job.in.scale()),
        head_(head),
        scratch_(scratch) {}

  void run() const {
    const Precision precision = job_.in.precision;
    const int64_t patches = job_.patches(), stride = 3 * job_.in.width;
    for (int64_t patch = 0; patch < patches; ++patch) gather(patch);
    pack_rows(precision, row(0, 1), stride, patches, size_, t_.columns, scratch_.queries);
    pack_columns(precision, scratch_.gradients, job_.columns(), patches, job_.columns(), t_.columns, scratch_.packed_gradients);
    for (int64_t first = 0; first < job_.n; first += kBlock) add_queries(first, std::min(kBlock, job_.n - first));
  }

 private:
  // A token's query (part 0), key (1) or value (2).
  const float* row(int64_t part, int64_t token) const {
    return job_.in.qkv + token * 3 * job_.in.width + part * job_.in.width + head_ * size_;
  }
  float* sums(int64_t part, int64_t k) const { return job_.qkv_gradient + (k * 3 + part) * job_.in.width + head_ * size_; }
  const float* log_sum_exp() const { return job_.log_sum_exp + head_ * job_.n + 1; }

  // Computes one patch's row of [dO | delta] and adds its terms to the sums of dk and dv.
  void gather(int64_t patch) const {
    const float* query = row(0, patch + 1);
    const float to_class_token = std::exp(scale_ * k_.dot(query, row(1, 0), size_) - log_sum_exp()[patch]);
    const int64_t width = job_.in.width;
    const float *out = job_.out + (patch + 1) * width + head_ * size_, *value = row(2, 0);
    prefetch(out + kAhead * width, size_);
    prefetch(query + kAhead * 3 * width, size_);
    for (int64_t k = 0; k < job_.classes; ++k) {
      const float* gradient = job_.out_gradient + (k * job_.patches() + patch) * width + head_ * size_;
      prefetch(gradient + kAhead * width, size_);
      k_.gather_row(gradient, out, value, query, size_, to_class_token, scale_,
                    scratch_.gradients + patch * job_.columns() + k * (size_ + 1), sums(1, k), sums(2, k));
    }
  }

  // Adds the terms of keys [first, first + count) to the sums of dq.
  void add_queries(int64_t first, int64_t count) const {
    const Precision precision = job_.in.precision;
    const int64_t patches = job_.patches(), wide = round_up(patches, t_.columns), columns = round_up(job_.columns(), t_.columns);
    pack_rows(precision, row(1, first), 3 * job_.in.width, count, size_, t_.rows, scratch_.packed);
    multiply_packed(t_, scratch_.packed, scratch_.queries, t_.words(size_), count, patches, scratch_.scores);
    for (int64_t r = 0; r < count; ++r) k_.shifted_exponentials(scratch_.scores + r * wide, patches, scale_, log_sum_exp());
    pack_rows(precision, scratch_.scores, wide, count, patches, t_.rows, scratch_.packed);
    multiply_packed(t_, scratch_.packed, scratch_.packed_gradients, t_.words(patches), count, job_.columns(), scratch_.product);
    for (int64_t r = 0; r < count; ++r)
      for (int64_t k = 0; k < job_.classes; ++k)
        k_.add_key(scratch_.product + r * columns + k * (size_ + 1), row(2, first + r), row(1, first + r), size_, scale_, sums(0, k));
  }

  const Job& job_;
  const Kernels& k_;
  const ProductTile& t_;
  int64_t size_;
  float scale_;
  int64_t head_;
  const Scratch& scratch_;
};

}  // namespace

void attention_gradient_sums(HostContext& context, const AttentionInput& in, int64_t n, const float* out, const float* log_sum_exp,
                             const float* out_gradient, int64_t classes, float* qkv_gradient) {
  const Job job{in, n, classes, out, log_sum_exp, out_gradient, qkv_gradient};
  const ProductTile& t = product_tile(in.precision);
  std::fill_n(qkv_gradient, classes * 3 * in.width, 0.0f);
  Scratch sizes;
  const int64_t words = sizes.bind(nullptr, job, t);
  Arena::Scope scope(context.arena);
  const auto memory = context.arena.take<uint32_t>(context.pool.size() * words);
  context.pool.run(in.heads, [&](int64_t head, int worker) {
    Scratch scratch;
    scratch.bind(memory.data() + worker * words, job, t);
    Head(job, head, scratch).run();
  });
}

}  // namespace clip_es::ops
