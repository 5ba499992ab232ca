// A block takes a row of one head's scores, which lies in the second-level cache from the product before.
#include "ops/cuda/common.cuh"

namespace clip_es::cuda {
namespace {

constexpr int kThreads = 256;

template <class Arguments>
__device__ float& log_sum_exp_of_block(const Arguments& in) {
  const int64_t head = blockIdx.x / in.rows, row = blockIdx.x % in.rows;
  return in.log_sum_exp.values[head * in.log_sum_exp.head_stride + (in.first + row) * in.log_sum_exp.row_stride];
}

__global__ void softmax_kernel(Softmax in) {
  float* row = in.scores + static_cast<int64_t>(blockIdx.x) * in.length;
  float largest = -INFINITY;
  for (int64_t j = threadIdx.x; j < in.length; j += kThreads) largest = fmaxf(largest, row[j]);
  const float shift = block_max<kThreads>(largest) * in.scale;  // scale > 0
  float sum = 0;
  for (int64_t j = threadIdx.x; j < in.length; j += kThreads) sum += row[j] = expf(row[j] * in.scale - shift);
  sum = block_sum<kThreads>(sum);
  for (int64_t j = threadIdx.x; j < in.length; j += kThreads) row[j] /= sum;
  if (in.log_sum_exp.values && threadIdx.x == 0) log_sum_exp_of_block(in) = shift + logf(sum);
}

__global__ void exponentials_kernel(Exponentials in) {
  float* row = in.scores + static_cast<int64_t>(blockIdx.x) * in.length;
  const float shift = log_sum_exp_of_block(in);
  for (int64_t j = threadIdx.x; j < in.length; j += kThreads) row[j] = expf(row[j] * in.scale - shift);
}

}  // namespace

int softmax(Stream stream, const Softmax& in) {
  return launch(stream, softmax_kernel, static_cast<unsigned>(in.heads * in.rows), kThreads, in);
}

int exponentials(Stream stream, const Exponentials& in) {
  return launch(stream, exponentials_kernel, static_cast<unsigned>(in.heads * in.rows), kThreads, in);
}

}  // namespace clip_es::cuda
