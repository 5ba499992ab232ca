// A warp takes a row: no barrier, and a row of any width. The row is read again from the first-level cache for the variance, as sums of
// squares alone would lose the digits that the mean takes. The residual is added on the way, which saves a pass over the stream.
#include "ops/cuda/common.cuh"

namespace clip_es::cuda {
namespace {

constexpr int kRows = 4;  // of a block
constexpr float kEpsilon = 1e-5f;

template <class Add, class Out>
__global__ void layer_norm_kernel(LayerNorm in) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kRows + threadIdx.x / kWarp;
  if (row >= in.rows) return;
  const int lane = threadIdx.x % kWarp;
  float* x = in.x + row * in.width;
  const Add* add = in.add ? static_cast<const Add*>(in.add) + row * in.width : nullptr;
  float sum = 0;
  for (int64_t c = lane; c < in.width; c += kWarp) {
    float value = x[c];
    if (add) x[c] = value += to_float(add[c]);
    sum += value;
  }
  if (!in.y) return;
  const float mean = warp_sum(sum) / static_cast<float>(in.width);
  float squares = 0;
  for (int64_t c = lane; c < in.width; c += kWarp) squares += (x[c] - mean) * (x[c] - mean);
  const float rstd = 1.0f / sqrtf(warp_sum(squares) / static_cast<float>(in.width) + kEpsilon);
  Out* y = static_cast<Out*>(in.y) + row * in.width;
  for (int64_t c = lane; c < in.width; c += kWarp) {
    const float x_hat = (x[c] - mean) * rstd;
    store(y + c, in.gamma ? x_hat * in.gamma[c] + in.beta[c] : x_hat);
  }
  if (in.rstd && lane == 0) in.rstd[row] = rstd;
}

}  // namespace

int layer_norm(Stream stream, const LayerNorm& in) {
  auto* kernel = in.add_bfloat16 ? (in.y_bfloat16 ? layer_norm_kernel<BFloat16, BFloat16> : layer_norm_kernel<BFloat16, float>)
                                 : (in.y_bfloat16 ? layer_norm_kernel<float, BFloat16> : layer_norm_kernel<float, float>);
  return launch(stream, kernel, blocks_for(in.rows, kRows), kRows * kWarp, in);
}

}  // namespace clip_es::cuda
