// The formulas of the kernels' costs, in the order of ops/cuda/kernels.h, whose comments give the shapes. Integer operations do not count.
// Steps whose results are few, such as one number per row, are left out.
#include "launch_costs.h"

#include <algorithm>

using namespace clip_es::cuda;
using clip_es::torch::Batch;
using clip_es::torch::Dtype;

namespace estimate {
namespace {

constexpr double kFloat = 4, kDouble = 8, kHalf = 2;  // bytes

double size_of(bool bfloat16) { return bfloat16 ? kHalf : kFloat; }

// The sum over the photos, or over GradCAM's parts. They share a launch.
template <class Photo, class CostOf>
Cost sum(const Photos<Photo>& photos, CostOf cost_of_photo) {
  Cost sum{.launches = photos.count > 0 ? 1 : 0};
  for (int i = 0; i < photos.count; ++i) sum += cost_of_photo(photos.photo[i]);
  return sum;
}

// What the second pass of a resize reads for `written` bytes. The launch does not know the height of its input, but the filter: 4 pixels,
// times the factor by which the height is reduced, and one more.
double bytes_of_columns(const ResizeTaps& taps, int64_t out_height, double written) {
  const double reduction = static_cast<double>(taps.stride - 1) / 4;
  return reduction * written + sizeof(int32_t) * static_cast<double>(out_height * (2 + taps.stride));
}

// Of a row's element: the mean (1), the variance (3) and the normalisation (2), and gamma and beta.
constexpr double kMoments = 6, kScaleAndShift = 2;

}  // namespace

Cost& Cost::operator+=(const Cost& other) {
  launches += other.launches;
  bfloat16 += other.bfloat16;
  float32 += other.float32;
  float64 += other.float64;
  read += other.read;
  written += other.written;
  copied += other.copied;
  return *this;
}

// ---- Image tower ----

Cost cost_of(const LayerNorm& in) {
  const double count = in.rows * in.width, width = in.width;
  Cost cost{.launches = in.rows > 0 ? 1 : 0, .read = kFloat * count};
  if (in.residual) cost += {.float32 = count, .read = size_of(in.residual_bfloat16) * count, .written = kFloat * count};
  if (in.y) cost += {.float32 = kMoments * count, .written = size_of(in.y_bfloat16) * count};
  if (in.gamma) cost += {.float32 = kScaleAndShift * count, .read = 2 * kFloat * width};
  if (in.rstd) cost.written += kFloat * static_cast<double>(in.rows);
  if (in.y_rounded) cost.written += kHalf * count;
  return cost;
}

Cost cost_of(const AddPatches& in) {
  const double D = in.width, size = size_of(in.bfloat16);
  Cost cost = sum(in.photos, [&](const AddPatchesPhoto& photo) -> Cost {
    const double N = photo.patches;
    return {.float32 = (1 + kMoments + kScaleAndShift) * N * D,
            .read = (size + kFloat) * N * D,
            .written = 2 * size * N * D + kFloat * (N * D + N)};
  });
  cost.read += 2 * kFloat * D;
  return cost;
}

// Quick GELU, u / (1 + exp(-1.702 u)). GELU's error function takes about as long.
Cost cost_of(const Activate& in) {
  const double count = in.count, bytes = size_of(in.bfloat16) * count;
  return {.launches = in.count > 0 ? 1 : 0, .float32 = (3 + kExponential) * count, .read = bytes, .written = bytes};
}

// ---- Preprocessing ----

Cost cost_of(const ResizeRows& in) {
  return sum(in.photos, [](const ResizeRowsPhoto& photo) -> Cost {
    const double taps = photo.out_width * (2 + photo.taps.stride);
    return {.read = static_cast<double>(photo.rows * photo.in_width * photo.channels) + sizeof(int32_t) * taps,
            .written = static_cast<double>(photo.rows * photo.out_width * 3)};
  });
}

Cost cost_of(const ResizeColumns& in) {
  return sum(in.photos, [](const ResizeColumnsPhoto& photo) -> Cost {
    const double bytes = static_cast<double>(photo.out_height * photo.width * 3);
    return {.read = bytes_of_columns(photo.taps, photo.out_height, bytes), .written = bytes};
  });
}

Cost cost_of(const ExtractPatches& in) {
  return sum(in.photos, [&](const ExtractPatchesPhoto& photo) -> Cost {
    const double values = static_cast<double>(photo.gh * photo.gw * 3 * in.patch * in.patch);
    return {.read = bytes_of_columns(photo.taps, photo.gh * in.patch, values),
            .written = size_of(in.bfloat16) * static_cast<double>(photo.gh * photo.gw * in.row)};
  });
}

// The position is interpolated three times (3 operations each) and added.
Cost cost_of(const EmbedTokens& in) {
  const double D = in.width;
  Cost cost = sum(in.photos, [&](const EmbedTokensPhoto& photo) -> Cost {
    const double N = photo.gh * photo.gw, n = N + 1;
    return {.float32 = (10 * N + (kMoments + kScaleAndShift) * n) * D, .read = kFloat * N * D, .written = kFloat * n * D};
  });
  cost.read += kFloat * D * static_cast<double>(4 + in.trained_side * in.trained_side);
  return cost;
}

// ---- Attention: 2 D operations for an element of all heads' scores, and 2 D for its part of the result ----

Cost cost_of(const Attention& in) {
  const double D = in.width, H = in.heads;
  return sum(in.photos, [&](const AttentionPhoto& photo) -> Cost {
    const double n = photo.n;
    return {.float32 = 4 * n * n * D + kExponential * H * n * n,
            .read = kFloat * 3 * n * D,
            .written = kFloat * (n * D + (photo.log_sum_exp ? H * n : 0))};
  });
}

namespace {

// Of the mean of all heads' probabilities, without the products. size: bytes of an element of q and k.
Cost mean_cost(double N, double D, double H, double size, bool is_first) {
  return {
      .float32 = kExponential * H * N * N, .read = size * 2 * N * D + kFloat * (H * N + (is_first ? 0 : N * N)), .written = kFloat * N * N};
}

}  // namespace

Cost cost_of(const AddAttentionMean& in) {
  const double D = in.width, H = in.heads;
  return sum(in.photos, [&](const AddAttentionMeanPhoto& photo) {
    const double N = photo.n - 1;
    Cost cost = mean_cost(N, D, H, kFloat, in.is_first);
    cost.float32 += 2 * N * N * D;
    return cost;
  });
}

Cost cost_of(const AddBFloat16AttentionMean& in) {
  const double D = in.width, H = in.heads;
  return sum(in.photos, [&](const AddBFloat16AttentionMeanPhoto& photo) {
    const double N = photo.n - 1;
    Cost cost = mean_cost(N, D, H, kHalf, in.is_first);
    cost.bfloat16 = 2 * N * N * D;
    return cost;
  });
}

Cost cost_of(const KeepAttention& in) {
  const double D = in.width, H = in.heads;
  return sum(in.photos, [&](const KeepAttentionPhoto& photo) -> Cost {
    const double bytes = photo.n * (kHalf * D + kFloat * H);
    return {.read = bytes, .written = bytes};
  });
}

Cost cost_of(const Convert& in) {
  const double count = in.count;
  return {.launches = in.count > 0 ? 1 : 0, .read = size_of(!in.to_bfloat16) * count, .written = size_of(in.to_bfloat16) * count};
}

// ---- GradCAM. R: rows of texts, T: texts, E: size of an embedding, F: hidden ----

Cost cost_of(const ColumnMeans& in) {
  const double D = in.columns;
  return sum(in.photos, [&](const ColumnMeansPhoto& photo) -> Cost {
    const double N = photo.rows;
    return {.float64 = N * D, .read = kFloat * (N + 2) * D, .written = kFloat * D};
  });
}

// Four kernels: f = pooled * projection, the directions of all rows, their products with the projection, and their means. Each block of the
// second one computes the logits.
Cost cost_of(const ScoreGradients& in) {
  const double D = in.width, E = in.embedding, all_rows = in.row_count;
  Cost cost = sum(in.photos, [&](const ScoreGradientsPhoto& photo) -> Cost {
    const double T = photo.texts, R = photo.row_count, p = kDouble * (R + 1) * T;
    return {.float64 = 2 * D * E + (R + 1) * (2 * E + 2 * T * E) + R * (2 * T * E + 6 * E),
            .read = kFloat * D + kDouble * (T * E + E) + p,
            .written = kDouble * E + p + kFloat * 2 * T};
  });
  cost.launches *= 4;
  cost += {.float64 = all_rows * (2 * D * E + 3 * D),
           .read = kFloat * (2 * D * E + D) + all_rows * (kFloat * E + kDouble * (E + D)),
           .written = all_rows * (kDouble * (E + D) + (size_of(in.a_bfloat16) + kFloat) * D)};
  return cost;
}

// The derivative of quick GELU is s (1 + 1.702 u (1 - s)) with s = 1 / (1 + exp(-1.702 u)): 8 operations and an exponential. e takes 4
// more, and its sums 5.
Cost cost_of(const MlpGradientE& in) {
  const double D = in.width, F = in.hidden, size = size_of(in.bfloat16);
  Cost cost = sum(in.parts, [&](const GradCamPart& part) -> Cost {
    const double N = part.patches, R = part.rows;
    return {.float32 = R * N * (2 * D + (17 + kExponential) * F),
            .read = size * 2 * N * F + kFloat * (N * D + N + R * (D + F)),
            .written = R * N * (size * F + kFloat * 3)};
  });
  cost.read += kFloat * 2 * F;
  return cost;
}

Cost cost_of(const MlpGradientFinish& in) {
  const double D = in.width, H = in.heads, size = size_of(in.bfloat16);
  Cost cost = sum(in.parts, [&](const GradCamPart& part) -> Cost {
    const double N = part.patches, R = part.rows;
    return {.float32 = 11 * R * N * D,
            .read = size * 3 * N * D + kFloat * (R * N * (D + 3) + 2 * N + R * D),
            .written = R * N * (size * D + kFloat * H)};
  });
  cost.read += kFloat * D;
  return cost;
}

namespace {

// The probabilities of all heads are computed again, once for every four rows. bfloat16: type of qkv and dO, and of the products.
Cost query_weights_cost(const GradCamParts& parts, double D, double H, bool bfloat16) {
  constexpr int64_t kRows = 4;
  return sum(parts, [&](const GradCamPart& part) {
    const double N = part.patches, n = N + 1, R = part.rows;
    const double groups = (part.rows + kRows - 1) / kRows;
    Cost cost{.float32 = groups * N * n * kExponential * H + R * N * n * 3 * H,
              .read = size_of(bfloat16) * (3 * n * D + R * N * D) + kFloat * (H * n + R * N * H),
              .written = kFloat * R * H * n};
    (bfloat16 ? cost.bfloat16 : cost.float32) += (groups + R) * N * n * 2 * D;
    return cost;
  });
}

}  // namespace

Cost cost_of(const QueryWeights& in) { return query_weights_cost(in.parts, in.width, in.heads, false); }
Cost cost_of(const BFloat16QueryWeights& in) { return query_weights_cost(in.parts, in.width, in.heads, true); }

// For each row and token: the sums of dq, dk and dv, and two products with the class token.
Cost cost_of(const QkvGradientSums& in) {
  const double D = in.width, H = in.heads, size = size_of(in.bfloat16);
  return sum(in.parts, [&](const GradCamPart& part) -> Cost {
    const double N = part.patches, n = N + 1, R = part.rows;
    return {.float32 = R * N * (10 * D + kExponential * H),
            .read = size * (2 * n * D + R * N * D) + kFloat * (H * n + R * (N * H + n * H)),
            .written = size * R * 3 * D};
  });
}

Cost cost_of(const PatchCams& in) {
  const double D = in.width;
  return sum(in.parts, [&](const GradCamPart& part) -> Cost {
    const double N = part.patches, R = part.rows;
    return {.float32 = 2 * R * N * D, .read = size_of(in.bfloat16) * N * D + kFloat * R * D, .written = kFloat * R * N};
  });
}

// Counts one row for each label, because the numbers of rows are in device memory.
Cost cost_of(const NormaliseCams& in) {
  return sum(in.photos, [](const NormaliseCamsPhoto& photo) -> Cost {
    const double values = photo.labels * photo.patches;
    return {.float32 = 6 * values, .read = kFloat * values, .written = kFloat * 2 * values};
  });
}

// ---- Box masks, affinity and masks. K: labels or classes ----

Cost cost_of(const BoxMask& in) {
  return sum(in.photos, [](const BoxMaskPhoto& photo) -> Cost {
    const double cells = photo.labels * photo.height * photo.width, scratch = sizeof(int32_t) * 6 * cells;
    return {.read = kFloat * cells + scratch, .written = scratch + cells};
  });
}

// A round of Sinkhorn multiplies the matrix by a vector twice. T x multiplies it twice for each label, once with a factor for each column,
// and is computed twice. Each chunk of rows writes sums of its columns, which are read again.
Cost cost_of(const RefineCams& in) {
  return sum(in.photos, [](const RefineCamsPhoto& photo) -> Cost {
    const double n = photo.n, K = photo.labels, rounds = photo.rounds;
    const double chunks = affinity_chunks(photo.n), sums = kFloat * chunks * n * (rounds + 2 * K);
    return {.float32 = (4 * rounds + 10 * K) * n * n,
            .read = kFloat * (n * n + 2 * K * n) + K * n + sums,
            .written = kFloat * 2 * K * n + sums};
  });
}

Cost cost_of(const MinMax& in) {
  return sum(in.photos, [](const MinMaxPhoto& photo) -> Cost {
    const double values = photo.labels * photo.patches;
    return {.float32 = 4 * values, .read = kFloat * values, .written = kFloat * values};
  });
}

// Three interpolations for each label and pixel, with 3 operations each, and the comparisons.
Cost cost_of(const PseudoMask& in) {
  return sum(in.photos, [](const PseudoMaskPhoto& photo) -> Cost {
    const double K = photo.labels, pixels = photo.width * photo.height;
    return {.float32 = 12 * K * pixels,
            .read = kFloat * K * static_cast<double>(photo.gh * photo.gw),
            .written = pixels * ((photo.mask ? 1 : 0) + (photo.confidence ? kFloat : 0) + (photo.enlarged ? kFloat * K : 0))};
  });
}

// ---- Maps by similarity ----

Cost cost_of(const CutWindows& in) {
  const double bytes = static_cast<double>(in.places.count * in.rows * in.columns * in.values) * size_of(in.bfloat16);
  return {.launches = bytes > 0 ? 1 : 0, .read = bytes, .written = bytes};
}

Cost cost_of(const AddScaled& in) {
  const double count = in.count, added = std::min(in.added_count, in.count);
  return {.launches = in.count > 0 ? 1 : 0, .float32 = 3 * count, .read = kFloat * (count + added), .written = kFloat * count};
}

Cost cost_of(const UnitRows& in) {
  const double count = in.rows * in.width;
  return {.launches = in.rows > 0 ? 1 : 0, .float64 = 3 * count, .read = kFloat * count, .written = kFloat * count};
}

Cost cost_of(const AveragingWeights& in) {
  const double count = in.patches * in.patches;
  return {.launches = in.patches > 0 ? 1 : 0, .float32 = count, .float64 = count, .read = kFloat * count, .written = kFloat * count};
}

// Two kernels: the sums of the rows, then the softmax.
Cost cost_of(const SimilarityAttention& in) {
  const double N = in.patches, count = N * N;
  return {.launches = in.patches > 0 ? 2 : 0,
          .float32 = (3 + kExponential) * count,
          .float64 = 2 * count,
          .read = kFloat * 2 * count + kDouble * N,
          .written = kFloat * count + kDouble * N};
}

// ---- LibTorch ----

Cost product_cost(const Batch& a, const Batch& b, Dtype out, bool added) {
  const double batches = a.batches, rows = a.rows, inner = a.columns, columns = b.columns;
  const bool bfloat16 = a.dtype == Dtype::kBFloat16;
  const double operations = 2 * batches * rows * inner * columns, size = size_of(bfloat16);
  return {.launches = 1,
          .bfloat16 = bfloat16 ? operations : 0,
          .float32 = bfloat16 ? 0 : operations,
          .read = size * (batches * (rows * inner + inner * columns) + (added ? columns : 0)),
          .written = size_of(out == Dtype::kBFloat16) * batches * rows * columns};
}

// Flash attention in bfloat16, with the log-sum-exp.
Cost attention_cost(int64_t images, int64_t tokens, int64_t width, int64_t heads) {
  const double B = images, n = tokens, D = width, H = heads;
  return {.launches = 1,
          .bfloat16 = 4 * B * n * n * D,
          .float32 = kExponential * B * H * n * n,
          .read = kHalf * 3 * B * n * D,
          .written = B * (kHalf * n * D + kFloat * H * n)};
}

}  // namespace estimate
