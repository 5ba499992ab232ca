// column_means:     out = gamma * (mean of the rows of x) + beta
// score_gradients:  steps 1 and 2 of the closed form in cam/softmax_gradcam.cpp, in four kernels:
//                   f = pooled * projection; logits = logit_scale * competing * f / |f|; probabilities = softmax(logits);
//                   direction of row r = t_r - sum over c != k of p_c t_c, made orthogonal to f; p is the softmax without label k of row r
//                   dz = ln_post_gamma * (projection * direction); a = dz - mean(dz); scaled_dz = dz / width
// normalise_cams:   negative values become 0, min-max twice, mean over the rows of a label
// Twins: cam/softmax_gradcam.cpp, reference/softmax_gradcam.cpp.
// score_gradients uses double, as the CPU does, because it subtracts nearly equal numbers. It is small, a few million multiplications, and
// runs on the GPU so that nothing waits for the host.
#include "ops/cuda/common.cuh"

namespace clip_es::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kColumns = kWarp, kParts = 16;  // block of column_sum: 32 columns, 16 threads per column
constexpr int kColumnThreads = kColumns * kParts;

// The sum over rows of term(row) for the column threadIdx.x. All threads of a (kColumns, kParts) block call it once. Threads with
// threadIdx.y == 0 get the sum, the others 0. is_column: false for threads past the last column.
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

// One block per photo and 32 columns.
__global__ void __launch_bounds__(kColumnThreads) column_means_kernel(const __grid_constant__ ColumnMeans args) {
  const ColumnMeansPhoto& photo = args.photos.photo[blockIdx.z];
  const int64_t column = static_cast<int64_t>(blockIdx.x) * kColumns + threadIdx.x;
  const double sum =
      column_sum(photo.rows, column < args.columns, [&](int64_t row) { return static_cast<double>(photo.x[row * args.columns + column]); });
  if (threadIdx.y == 0 && column < args.columns)
    photo.out[column] = static_cast<float>(sum / static_cast<double>(photo.rows)) * args.gamma[column] + args.beta[column];
}

// f = pooled * projection, not normalised. One block per photo and 32 columns.
__global__ void __launch_bounds__(kColumnThreads) project_kernel(const __grid_constant__ ScoreGradients args) {
  const ScoreGradientsPhoto& photo = args.photos.photo[blockIdx.z];
  const int64_t e = static_cast<int64_t>(blockIdx.x) * kColumns + threadIdx.x;
  const double sum = column_sum(args.width, e < args.embedding, [&](int64_t c) {
    return static_cast<double>(photo.pooled[c]) * static_cast<double>(args.projection[c * args.embedding + e]);
  });
  if (threadIdx.y == 0 && e < args.embedding) photo.f[e] = sum;
}

// The scale that makes f a vector of length one, given the sum of its squares; NaN if |f| is zero or not finite, which the host detects in
// the results.
__device__ double inverse_norm(double squares) {
  const double norm = sqrt(squares);
  return isfinite(norm) && norm > 0 ? 1 / norm : NAN;
}

// logits = logit_scale * competing * f, normalised by `scale`. One warp per text. Called by all threads of a block.
__device__ void compute_logits(const ScoreGradients& args, const ScoreGradientsPhoto& photo, double scale, double* logits) {
  const int texts = static_cast<int>(photo.texts), size = static_cast<int>(args.embedding);
  for (int text = static_cast<int>(threadIdx.x) / kWarp; text < texts; text += kThreads / kWarp) {
    double sum = 0;
    for (int e = threadIdx.x % kWarp; e < size; e += kWarp) sum += photo.competing[text * size + e] * photo.f[e];
    sum = warp_sum(sum);
    if (threadIdx.x % kWarp == 0) logits[text] = args.logit_scale * scale * sum;
  }
  __syncthreads();
}

// values = softmax of all logits, which they hold on entry, except number `left_out`, whose value becomes 0. With -1, of all logits. Called
// by all threads of a block.
__device__ void softmax_without(int texts, int left_out, double* values) {
  double largest = -INFINITY;
  for (int c = threadIdx.x; c < texts; c += kThreads)
    if (c != left_out) largest = values[c] > largest ? values[c] : largest;
  largest = block_max<kThreads>(largest);
  double sum = 0;
  for (int c = threadIdx.x; c < texts; c += kThreads) sum += values[c] = c == left_out ? 0 : exp(values[c] - largest);
  sum = block_sum<kThreads>(sum);
  for (int c = threadIdx.x; c < texts; c += kThreads) values[c] /= sum;
  __syncthreads();  // they are complete for every thread
}

// One block per photo and row of texts computes the row's direction. One more block per photo writes logits and probabilities. Each block
// computes the logits for itself, which is less work than its direction.
__global__ void __launch_bounds__(kThreads) directions_kernel(const __grid_constant__ ScoreGradients args) {
  const ScoreGradientsPhoto& photo = args.photos.photo[blockIdx.z];
  const int texts = static_cast<int>(photo.texts), size = static_cast<int>(args.embedding);
  if (blockIdx.x > photo.row_count) return;
  double squares = 0;
  for (int e = threadIdx.x; e < size; e += kThreads) squares += photo.f[e] * photo.f[e];
  const double scale = inverse_norm(block_sum<kThreads>(squares));
  double* p = photo.p + static_cast<int64_t>(blockIdx.x) * texts;
  compute_logits(args, photo, scale, p);
  if (blockIdx.x == photo.row_count) {
    for (int c = threadIdx.x; c < texts; c += kThreads) photo.logits_out[c] = static_cast<float>(p[c]);
    softmax_without(texts, -1, p);
    for (int c = threadIdx.x; c < texts; c += kThreads) photo.probabilities_out[c] = static_cast<float>(p[c]);
    return;
  }
  softmax_without(texts, static_cast<int>(photo.label_of_row[blockIdx.x]), p);
  const int64_t first = (photo.first_row + blockIdx.x) * size;
  double dot_f = 0;
  for (int e = threadIdx.x; e < size; e += kThreads) {
    double others = 0;
    for (int c = 0; c < texts; ++c) others += p[c] * photo.competing[c * size + e];
    const double d = static_cast<double>(args.rows[first + e]) - others;
    args.directions[first + e] = d;
    dot_f += d * photo.f[e];
  }
  dot_f = block_sum<kThreads>(dot_f);
  for (int e = threadIdx.x; e < size; e += kThreads) args.directions[first + e] -= dot_f * scale * (photo.f[e] * scale);
}

// dz = ln_post_gamma * (projection * direction). One warp per row of texts and channel.
__global__ void __launch_bounds__(kThreads) back_project_kernel(const __grid_constant__ ScoreGradients args) {
  const int64_t index = global_thread() / kWarp;
  if (index >= args.row_count * args.width) return;
  const int64_t row = index / args.width, channel = index % args.width;
  double sum = 0;
  for (int64_t e = threadIdx.x % kWarp; e < args.embedding; e += kWarp)
    sum += static_cast<double>(args.projection[channel * args.embedding + e]) * args.directions[row * args.embedding + e];
  sum = warp_sum(sum);
  if (threadIdx.x % kWarp == 0) args.dz[index] = sum * static_cast<double>(args.ln_post_gamma[channel]);
}

// a = dz - mean(dz), scaled_dz = dz / width. One block per row of texts.
__global__ void __launch_bounds__(kThreads) centre_kernel(const __grid_constant__ ScoreGradients args) {
  const double* dz = args.dz + static_cast<int64_t>(blockIdx.x) * args.width;
  const auto width = static_cast<double>(args.width);
  double sum = 0;
  for (int64_t c = threadIdx.x; c < args.width; c += kThreads) sum += dz[c];
  const double mean = block_sum<kThreads>(sum) / width;
  for (int64_t c = threadIdx.x; c < args.width; c += kThreads) {
    const int64_t index = blockIdx.x * args.width + c;
    const auto a = static_cast<float>(dz[c] - mean);
    if (args.a_bfloat16) store(static_cast<BFloat16*>(args.a) + index, a);
    else store(static_cast<float*>(args.a) + index, a);
    args.scaled_dz[index] = static_cast<float>(dz[c] / width);
  }
}

// Negative values become 0, then min-max twice, as the released code does: the second makes up for the 1e-7 in the first one's divisor.
// After the first the minimum is 0 and the maximum is known, so the map is scanned only once. Called by all threads of a block.
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

// One block per photo and label, for all of the label's rows.
__global__ void __launch_bounds__(kThreads) normalise_cams_kernel(const __grid_constant__ NormaliseCams args) {
  const NormaliseCamsPhoto& photo = args.photos.photo[blockIdx.z];
  const int64_t label = blockIdx.x;
  if (label >= photo.labels) return;
  const int64_t first = photo.first_row[label], end = photo.first_row[label + 1];
  float* cam = photo.cams + label * photo.patches;
  for (int64_t row = first; row < end; ++row) {
    float* row_cam = photo.row_cams + row * photo.patches;
    normalise_cam(row_cam, photo.patches);
    // No barrier is needed: each thread reads only elements that it wrote.
    for (int64_t i = threadIdx.x; i < photo.patches; i += kThreads) cam[i] = row == first ? row_cam[i] : cam[i] + row_cam[i];
  }
  if (end - first > 1) normalise_cam(cam, photo.patches);
}

}  // namespace

int column_means(Stream stream, const ColumnMeans& args) {
  return launch(stream, column_means_kernel, {blocks_for(args.columns, kColumns), 1, depth_of(args.photos)}, {kColumns, kParts}, args);
}

int score_gradients(Stream stream, const ScoreGradients& args) {
  constexpr int kWarps = kThreads / kWarp;
  const unsigned photos = depth_of(args.photos);
  const unsigned rows = most_blocks(args.photos, [](const auto& photo) { return static_cast<unsigned>(photo.row_count); });
  int error = launch(stream, project_kernel, {blocks_for(args.embedding, kColumns), 1, photos}, {kColumns, kParts}, args);
  if (!error) error = launch(stream, directions_kernel, {rows + 1, 1, photos}, kThreads, args);
  if (!error) error = launch(stream, back_project_kernel, blocks_for(args.row_count * args.width, kWarps), kThreads, args);
  if (!error) error = launch(stream, centre_kernel, static_cast<unsigned>(args.row_count), kThreads, args);
  return error;
}

int normalise_cams(Stream stream, const NormaliseCams& args) {
  const unsigned labels = most_blocks(args.photos, [](const auto& photo) { return static_cast<unsigned>(photo.labels); });
  return launch(stream, normalise_cams_kernel, {labels, 1, depth_of(args.photos)}, kThreads, args);
}

}  // namespace clip_es::cuda
