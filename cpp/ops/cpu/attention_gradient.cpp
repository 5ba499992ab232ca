// P = softmax(scale q k^T) (n x n), o = P v, and dO given for the patches i >= 1. With delta_i = dO_i . o_i:
//   dv_j = sum_i P_ij dO_i           summed over patches j >= 1:  sum_i (1 - P_i0) dO_i
//   dS_ij = P_ij (dO_i . v_j - delta_i)
//   dk_j = scale sum_i dS_ij q_i     summed over patches j >= 1:  minus the class token's, as every row of dS sums to zero
//   dq_i = scale sum_j dS_ij k_j     summed over patches i >= 1:  scale sum_j (column sum of dS)_j k_j,
// and the column sums follow from P^T [dO | delta]. P^T is made block by block of its rows, the keys, and forgotten.
#include <algorithm>
#include <cmath>

#include "ops/attention.h"
#include "ops/cpu/pack.h"
#include "ops/cpu/simd.h"
#include "ops/cpu/vectors.h"
#include "ops/ops.h"

namespace clip_es::ops {
namespace {

constexpr int64_t kBlock = 11 * kMostTileRows;  // keys at a time
constexpr int64_t kAhead = 4;                   // patches on their way from memory

CLIP_ES_MULTIVERSION float dot(const float* a, const float* b, int64_t count) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < count; ++i) sum += a[i] * b[i];
  return sum;
}

// One patch's and one class's row of [dO | delta] -> to, and its share of the sums of dv and dk. From the patch to the class token go
// `probability` and, back along the scores, `scale` q.
CLIP_ES_MULTIVERSION void gather_row(const float* gradient, const float* out, const float* class_value, const float* query, int64_t size,
                                     float probability, float scale, float* to, float* key_sums, float* value_sums) {
  float delta = 0, along = 0;
#pragma omp simd reduction(+ : delta, along)
  for (int64_t i = 0; i < size; ++i) {
    delta += gradient[i] * out[i];
    along += gradient[i] * class_value[i];
  }
  const float factor = -scale * probability * (along - delta);
#pragma omp simd
  for (int64_t i = 0; i < size; ++i) {
    to[i] = gradient[i];
    key_sums[i] += factor * query[i];
    value_sums[i] += (1 - probability) * gradient[i];
  }
  to[size] = delta;
}

// One key's and one class's share of the sums of dq: product (size + 1), the key's row of P^T [dO | delta].
CLIP_ES_MULTIVERSION void add_key(const float* product, const float* value, const float* key, int64_t size, float scale,
                                  float* query_sums) {
  float along = 0;
#pragma omp simd reduction(+ : along)
  for (int64_t i = 0; i < size; ++i) along += product[i] * value[i];
  const float factor = scale * (along - product[size]);
#pragma omp simd
  for (int64_t i = 0; i < size; ++i) query_sums[i] += factor * key[i];
}

// x_i = e^(scale x_i - shift_i)
CLIP_ES_MULTIVERSION void shifted_exponentials(float* x, int64_t count, float scale, const float* shift) {
  for (int64_t i = 0; i < count; ++i) x[i] = fast_exp(x[i] * scale - shift[i]);
}

struct Job {
  const AttentionInput& in;
  int64_t n, classes;
  const float *out, *log_sum_exp, *out_gradient;
  float* qkv_gradient;

  int64_t size() const { return in.width / in.heads; }
  int64_t patches() const { return n - 1; }
  int64_t columns() const { return classes * (size() + 1); }  // of [dO | delta], all classes side by side
};

// What a thread works in, for one head.
struct Scratch {
  float* gradients;                      // (patches, columns): [dO | delta]
  float* scores;                         // (kBlock, patches in whole tiles)
  float* product;                        // (kBlock, columns in whole tiles): P^T [dO | delta]
  uint32_t *queries, *packed_gradients;  // panels
  uint32_t* packed;                      // rows: of keys, then of P^T

  // Lays the pieces one behind the other; -> words in all, with memory null or not.
  int64_t bind(uint32_t* memory, const Job& job, const Tile& t) {
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

// One head's share of the work; a thread owns one at a time.
class Head {
 public:
  Head(const Job& job, int64_t head, const Scratch& scratch)
      : job_(job), t_(tile(job.in.precision)), size_(job.size()), scale_(job.in.scale()), head_(head), scratch_(scratch) {}

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

  // One patch's row of [dO | delta], and its share of the sums of dv and dk.
  void gather(int64_t patch) const {
    const float* query = row(0, patch + 1);
    const float to_class_token = std::exp(scale_ * dot(query, row(1, 0), size_) - log_sum_exp()[patch]);
    const int64_t width = job_.in.width;
    const float *out = job_.out + (patch + 1) * width + head_ * size_, *value = row(2, 0);
    prefetch(out + kAhead * width, size_);
    prefetch(query + kAhead * 3 * width, size_);
    for (int64_t k = 0; k < job_.classes; ++k) {
      const float* gradient = job_.out_gradient + (k * job_.patches() + patch) * width + head_ * size_;
      prefetch(gradient + kAhead * width, size_);
      gather_row(gradient, out, value, query, size_, to_class_token, scale_, scratch_.gradients + patch * job_.columns() + k * (size_ + 1),
                 sums(1, k), sums(2, k));
    }
  }

  // What the keys [first, first + count) add to the sums of dq.
  void add_queries(int64_t first, int64_t count) const {
    const Precision precision = job_.in.precision;
    const int64_t patches = job_.patches(), wide = round_up(patches, t_.columns), columns = round_up(job_.columns(), t_.columns);
    pack_rows(precision, row(1, first), 3 * job_.in.width, count, size_, t_.rows, scratch_.packed);
    multiply_packed(t_, scratch_.packed, scratch_.queries, t_.words(size_), count, patches, scratch_.scores);
    for (int64_t r = 0; r < count; ++r) shifted_exponentials(scratch_.scores + r * wide, patches, scale_, log_sum_exp());
    pack_rows(precision, scratch_.scores, wide, count, patches, t_.rows, scratch_.packed);
    multiply_packed(t_, scratch_.packed, scratch_.packed_gradients, t_.words(patches), count, job_.columns(), scratch_.product);
    for (int64_t r = 0; r < count; ++r)
      for (int64_t k = 0; k < job_.classes; ++k)
        add_key(scratch_.product + r * columns + k * (size_ + 1), row(2, first + r), row(1, first + r), size_, scale_, sums(0, k));
  }

  const Job& job_;
  const Tile& t_;
  int64_t size_;
  float scale_;
  int64_t head_;
  const Scratch& scratch_;
};

}  // namespace

void attention_gradient_sums(HostContext& context, const AttentionInput& in, int64_t n, const float* out, const float* log_sum_exp,
                             const float* out_gradient, int64_t classes, float* qkv_gradient) {
  const Job job{in, n, classes, out, log_sum_exp, out_gradient, qkv_gradient};
  const Tile& t = tile(in.precision);
  std::fill_n(qkv_gradient, classes * 3 * in.width, 0.0f);
  Scratch sizes;
  const int64_t words = sizes.bind(nullptr, job, t);
  Arena::Scope scope(context.arena);
  const auto memory = context.arena.take<uint32_t>(static_cast<size_t>(context.pool.size() * words));
  context.pool.run(in.heads, [&](int64_t head, int worker) {
    Scratch scratch;
    scratch.bind(memory.data() + worker * words, job, t);
    Head(job, head, scratch).run();
  });
}

}  // namespace clip_es::ops
