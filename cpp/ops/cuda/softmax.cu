// softmax:       scores = exp(scale * scores - log_sum_exp), where log_sum_exp = log(sum of exp(scale * scores)) is computed and stored
// exponentials:  the same with a known log_sum_exp
// One block per row of one head. Twin: ops/cpu/softmax.cpp, reference/softmax.cpp.
#include "ops/cuda/common.cuh"

namespace clip_es::cuda {
namespace {

constexpr int kThreads = 256;

// The log-sum-exp of the row that this block computes.
template <class Arguments>
__device__ float& log_sum_exp_of_block(const Arguments& args) {
  const int64_t head = blockIdx.x / args.rows, row = blockIdx.x % args.rows;
  return args.log_sum_exp.values[head * args.log_sum_exp.head_stride + (args.first_query + row) * args.log_sum_exp.row_stride];
}

__global__ void __launch_bounds__(kThreads) softmax_kernel(Softmax args) {
  float* row = args.scores + static_cast<int64_t>(blockIdx.x) * args.length;
  float largest = -INFINITY;
  for (int64_t j = threadIdx.x; j < args.length; j += kThreads) largest = fmaxf(largest, row[j]);
  const float shift = block_max<kThreads>(largest) * args.scale;  // scale > 0
  float sum = 0;
  for (int64_t j = threadIdx.x; j < args.length; j += kThreads) sum += row[j] = expf(row[j] * args.scale - shift);
  sum = block_sum<kThreads>(sum);
  for (int64_t j = threadIdx.x; j < args.length; j += kThreads) row[j] /= sum;
  if (args.log_sum_exp.values && threadIdx.x == 0) log_sum_exp_of_block(args) = shift + logf(sum);
}

__global__ void __launch_bounds__(kThreads) exponentials_kernel(Exponentials args) {
  float* row = args.scores + static_cast<int64_t>(blockIdx.x) * args.length;
  const float shift = log_sum_exp_of_block(args);
  for (int64_t j = threadIdx.x; j < args.length; j += kThreads) row[j] = expf(row[j] * args.scale - shift);
}

}  // namespace

int softmax(Stream stream, const Softmax& args) {
  return launch(stream, softmax_kernel, static_cast<unsigned>(args.heads * args.rows), kThreads, args);
}

int exponentials(Stream stream, const Exponentials& args) {
  return launch(stream, exponentials_kernel, static_cast<unsigned>(args.heads * args.rows), kThreads, args);
}

}  // namespace clip_es::cuda
