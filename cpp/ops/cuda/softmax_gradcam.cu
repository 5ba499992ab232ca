// Steps 1 and 2 of the closed form, in double as on the CPU: t_k less the mean of the others, and what of it is orthogonal to f, are
// differences of nearly equal numbers. Small work (a few million multiplications), kept on the GPU so that nothing waits for the host.
#include "ops/cuda/common.cuh"

namespace clip_es::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kColumns = kWarp, kParts = 16;  // of the blocks that sum columns

// The sum over rows of term(row) for this thread's column, shared among kParts threads; valid in those with threadIdx.y == 0.
template <class Term>
__device__ double column_sum(int64_t rows, bool is_column, Term term) {
  __shared__ double parts[kParts][kColumns + 1];
  double sum = 0;
  if (is_column)
    for (int64_t row = threadIdx.y; row < rows; row += kParts) sum += term(row);
  parts[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y > 0) return 0;
  for (int i = 1; i < kParts; ++i) sum += parts[i][threadIdx.x];
  return sum;
}

__global__ void column_means_kernel(ColumnMeans in) {
  const int64_t column = static_cast<int64_t>(blockIdx.x) * kColumns + threadIdx.x;
  const double sum =
      column_sum(in.rows, column < in.columns, [&](int64_t row) { return static_cast<double>(in.x[row * in.columns + column]); });
  if (threadIdx.y == 0 && column < in.columns)
    in.out[column] = static_cast<float>(sum / static_cast<double>(in.rows)) * in.gamma[column] + in.beta[column];
}

// f = pooled times the projection, not yet of length one.
__global__ void project_kernel(ScoreGradients in) {
  const int64_t e = static_cast<int64_t>(blockIdx.x) * kColumns + threadIdx.x;
  const double sum = column_sum(in.width, e < in.embedding, [&](int64_t c) {
    return static_cast<double>(in.pooled[c]) * static_cast<double>(in.projection[c * in.embedding + e]);
  });
  if (threadIdx.y == 0 && e < in.embedding) in.f[e] = sum;
}

__global__ void normalise_embedding_kernel(ScoreGradients in) {
  double squares = 0;
  for (int64_t e = threadIdx.x; e < in.embedding; e += kThreads) squares += in.f[e] * in.f[e];
  double norm = sqrt(block_sum<kThreads>(squares));
  if (!(isfinite(norm) && norm > 0)) norm = NAN;
  for (int64_t e = threadIdx.x; e < in.embedding; e += kThreads) in.f[e] /= norm;
}

// A warp takes a text.
__global__ void logits_kernel(ScoreGradients in) {
  const int64_t text = global_thread() / kWarp;
  if (text >= in.texts) return;
  double sum = 0;
  for (int64_t e = threadIdx.x % kWarp; e < in.embedding; e += kWarp) sum += in.competing[text * in.embedding + e] * in.f[e];
  sum = in.logit_scale * warp_sum(sum);
  if (threadIdx.x % kWarp > 0) return;
  in.logits[text] = sum;
  in.logits_out[text] = static_cast<float>(sum);
}

// p = the softmax of the logits but `left_out` (-1: of all). A block's work.
__device__ void softmax_without(const ScoreGradients& in, int64_t left_out, double* p) {
  double largest = -INFINITY;
  for (int64_t c = threadIdx.x; c < in.texts; c += kThreads)
    if (c != left_out) largest = in.logits[c] > largest ? in.logits[c] : largest;
  largest = block_max<kThreads>(largest);
  double sum = 0;
  for (int64_t c = threadIdx.x; c < in.texts; c += kThreads) sum += p[c] = c == left_out ? 0 : exp(in.logits[c] - largest);
  sum = block_sum<kThreads>(sum);
  for (int64_t c = threadIdx.x; c < in.texts; c += kThreads) p[c] /= sum;
  __syncthreads();  // the others' p
}

// A block takes a row of texts: its direction, orthogonal to f. The last block makes the probabilities instead.
__global__ void directions_kernel(ScoreGradients in) {
  const int64_t row = blockIdx.x;
  double* p = in.p + row * in.texts;
  if (row == in.row_count) {
    softmax_without(in, -1, p);
    for (int64_t c = threadIdx.x; c < in.texts; c += kThreads) in.probabilities_out[c] = static_cast<float>(p[c]);
    return;
  }
  softmax_without(in, in.label_of_row[row], p);
  double* d = in.directions + row * in.embedding;
  double along = 0;
  for (int64_t e = threadIdx.x; e < in.embedding; e += kThreads) {
    double others = 0;
    for (int64_t c = 0; c < in.texts; ++c) others += p[c] * in.competing[c * in.embedding + e];
    d[e] = static_cast<double>(in.rows[row * in.embedding + e]) - others;
    along += d[e] * in.f[e];
  }
  along = block_sum<kThreads>(along);
  for (int64_t e = threadIdx.x; e < in.embedding; e += kThreads) d[e] -= along * in.f[e];
}

// A warp takes a channel of a row: dz = ln_post's gamma times the projection's row along the direction.
__global__ void back_project_kernel(ScoreGradients in) {
  const int64_t index = global_thread() / kWarp;
  if (index >= in.row_count * in.width) return;
  const int64_t row = index / in.width, channel = index % in.width;
  double sum = 0;
  for (int64_t e = threadIdx.x % kWarp; e < in.embedding; e += kWarp)
    sum += static_cast<double>(in.projection[channel * in.embedding + e]) * in.directions[row * in.embedding + e];
  sum = warp_sum(sum);
  if (threadIdx.x % kWarp == 0) in.dz[index] = sum * static_cast<double>(in.ln_post_gamma[channel]);
}

__global__ void centre_kernel(ScoreGradients in) {
  const double* dz = in.dz + static_cast<int64_t>(blockIdx.x) * in.width;
  const auto width = static_cast<double>(in.width);
  double sum = 0;
  for (int64_t c = threadIdx.x; c < in.width; c += kThreads) sum += dz[c];
  const double mean = block_sum<kThreads>(sum) / width;
  for (int64_t c = threadIdx.x; c < in.width; c += kThreads) {
    in.a[blockIdx.x * in.width + c] = static_cast<float>(dz[c] - mean);
    in.scaled_dz[blockIdx.x * in.width + c] = static_cast<float>(dz[c] / width);
  }
}

// Negative evidence is dropped, then min-max, twice as released: the second removes what the first's 1e-7 leaves. After the first the
// smallest is 0 and the largest known, so that one look at the map suffices. A block's work.
__device__ void normalise_cam(float* cam, int64_t patches) {
  float low = INFINITY, high = 0;
  for (int64_t i = threadIdx.x; i < patches; i += kThreads) {
    const float value = cam[i] > 0 ? cam[i] : 0;
    low = fminf(low, value);
    high = fmaxf(high, value);
  }
  low = -block_max<kThreads>(-low);
  high = block_max<kThreads>(high);
  const float range = 1e-7f + (high - low), second = 1e-7f + (high - low) / range;
  for (int64_t i = threadIdx.x; i < patches; i += kThreads) cam[i] = ((cam[i] > 0 ? cam[i] : 0) - low) / range / second;
}

// A block takes a label and all rows of it.
__global__ void normalise_cams_kernel(NormaliseCams in) {
  const int64_t label = blockIdx.x, first = in.first_row[label], end = in.first_row[label + 1];
  float* cam = in.cams + label * in.patches;
  for (int64_t row = first; row < end; ++row) {
    float* own = in.row_cams + row * in.patches;
    normalise_cam(own, in.patches);
    // A thread reads what it wrote itself.
    for (int64_t i = threadIdx.x; i < in.patches; i += kThreads) cam[i] = row == first ? own[i] : cam[i] + own[i];
  }
  if (end - first > 1) normalise_cam(cam, in.patches);
}

}  // namespace

int column_means(Stream stream, const ColumnMeans& in) {
  return launch(stream, column_means_kernel, blocks_for(in.columns, kColumns), {kColumns, kParts}, in);
}

int score_gradients(Stream stream, const ScoreGradients& in) {
  constexpr int kWarps = kThreads / kWarp;
  const auto rows = static_cast<unsigned>(in.row_count);
  int error = launch(stream, project_kernel, blocks_for(in.embedding, kColumns), {kColumns, kParts}, in);
  if (!error) error = launch(stream, normalise_embedding_kernel, 1, kThreads, in);
  if (!error) error = launch(stream, logits_kernel, blocks_for(in.texts, kWarps), kThreads, in);
  if (!error) error = launch(stream, directions_kernel, rows + 1, kThreads, in);
  if (!error) error = launch(stream, back_project_kernel, blocks_for(in.row_count * in.width, kWarps), kThreads, in);
  if (!error) error = launch(stream, centre_kernel, rows, kThreads, in);
  return error;
}

int normalise_cams(Stream stream, const NormaliseCams& in) {
  return launch(stream, normalise_cams_kernel, static_cast<unsigned>(in.labels), kThreads, in);
}

}  // namespace clip_es::cuda
