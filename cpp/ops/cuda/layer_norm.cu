// layer_norm:   x += residual; y = (x - mean) * rstd * gamma + beta, with mean and rstd = 1 / sqrt(variance + 1e-5) of each row.
// add_patches:  sum = a + b without the class token's row; x_hat = (sum - mean) * rstd; y = x_hat * gamma + beta
// Twins: ops/cpu/layer_norm.cpp (layer_norm, normalise_rows). Adding the residual here saves one pass over x.
// One warp per row, so no barrier is needed. The variance is computed after the mean: a single pass over the sums of squares would lose
// digits. layer_norm keeps the row in registers for that, and loads and stores four elements at once, if the width is a multiple of 4 and
// at most 2,048. A row of another width is read again from the first-level cache.
#include <type_traits>

#include "ops/cuda/layer_norm.cuh"

namespace clip_es::cuda {
namespace {

constexpr int kRows = 4, kThreads = kRows * kWarp;  // rows (warps) and threads of a block

using Four = Elements<float, 4>;

template <class T>
__device__ Four load_four(const T* from) {
  const Elements<T, 4> x = load_elements<4>(from);
  return {to_float(x.at[0]), to_float(x.at[1]), to_float(x.at[2]), to_float(x.at[3])};
}

template <class T>
__device__ void store_four(T* to, const Four& x) {
  Elements<T, 4> rounded;
  store(&rounded.at[0], x.at[0]);
  store(&rounded.at[1], x.at[1]);
  store(&rounded.at[2], x.at[2]);
  store(&rounded.at[3], x.at[3]);
  store_elements(to, rounded);
}

// A row of up to kVectors * 128 elements. The lane has four of every 128. The launch bounds let the compiler use 64 or 128 registers: with
// its own choice it spills some.
template <class Residual, class Out, int kVectors>
__global__ void __launch_bounds__(kThreads, kVectors > 8 ? 4 : 8) layer_norm_in_registers_kernel(LayerNorm args) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kRows + threadIdx.x / kWarp;
  if (row >= args.rows) return;
  const int first = static_cast<int>(threadIdx.x) % kWarp * 4, width = static_cast<int>(args.width);
  float* x = args.x + row * width;
  const Residual* residual = args.residual ? static_cast<const Residual*>(args.residual) + row * width : nullptr;
  Four values[kVectors];
  float sum = 0;
  for (int k = 0; k < kVectors; ++k) {
    const int c = first + k * kWarp * 4;
    if (c >= width) continue;
    values[k] = load_four(x + c);
    if (residual) {
      const Four added = load_four(residual + c);
      for (int i = 0; i < 4; ++i) values[k].at[i] += added.at[i];
      store_four(x + c, values[k]);
    }
    for (int i = 0; i < 4; ++i) sum += values[k].at[i];
  }
  if (!args.y) return;
  const float mean = warp_sum(sum) / static_cast<float>(width);
  float squares = 0;
  for (int k = 0; k < kVectors; ++k) {
    if (first + k * kWarp * 4 >= width) continue;
    for (int i = 0; i < 4; ++i) squares += (values[k].at[i] - mean) * (values[k].at[i] - mean);
  }
  const float rstd = rstd_of(warp_sum(squares), width);
  Out* y = static_cast<Out*>(args.y) + row * width;
  for (int k = 0; k < kVectors; ++k) {
    const int c = first + k * kWarp * 4;
    if (c >= width) continue;
    for (int i = 0; i < 4; ++i) values[k].at[i] = (values[k].at[i] - mean) * rstd;
    if (args.gamma) {
      const Four gamma = load_four(args.gamma + c), beta = load_four(args.beta + c);
      for (int i = 0; i < 4; ++i) values[k].at[i] = values[k].at[i] * gamma.at[i] + beta.at[i];
    }
    store_four(y + c, values[k]);
    if constexpr (std::is_same_v<Out, float>)
      if (args.y_rounded) store_four(static_cast<BFloat16*>(args.y_rounded) + row * width + c, values[k]);
  }
  if (args.rstd && first == 0) args.rstd[row] = rstd;
}

// A row of any width.
template <class Residual, class Out>
__global__ void __launch_bounds__(kThreads) layer_norm_kernel(LayerNorm args) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kRows + threadIdx.x / kWarp;
  if (row >= args.rows) return;
  const int lane = threadIdx.x % kWarp;
  float* x = args.x + row * args.width;
  const Residual* residual = args.residual ? static_cast<const Residual*>(args.residual) + row * args.width : nullptr;
  float sum = 0;
  for (int64_t c = lane; c < args.width; c += kWarp) {
    float value = x[c];
    if (residual) x[c] = value += to_float(residual[c]);
    sum += value;
  }
  if (!args.y) return;
  const auto [mean, rstd] = moments_of(x, sum, args.width);
  Out* y = static_cast<Out*>(args.y) + row * args.width;
  for (int64_t c = lane; c < args.width; c += kWarp) {
    const float x_hat = (x[c] - mean) * rstd;
    const float value = args.gamma ? x_hat * args.gamma[c] + args.beta[c] : x_hat;
    store(y + c, value);
    if constexpr (std::is_same_v<Out, float>)
      if (args.y_rounded) store(static_cast<BFloat16*>(args.y_rounded) + row * args.width + c, value);
  }
  if (args.rstd && lane == 0) args.rstd[row] = rstd;
}

// T: type of a, x_hat and y.
template <class T>
__global__ void __launch_bounds__(kThreads) add_patches_kernel(const __grid_constant__ AddPatches args) {
  const AddPatchesPhoto& photo = args.photos.photo[blockIdx.z];
  const int64_t patch = static_cast<int64_t>(blockIdx.x) * kRows + threadIdx.x / kWarp;
  if (patch >= photo.patches) return;
  const int lane = threadIdx.x % kWarp;
  const T* a = static_cast<const T*>(photo.a) + (patch + 1) * args.width;
  const float* b = photo.b + (patch + 1) * args.width;
  float* sums = photo.sum + patch * args.width;
  T *x_hat = static_cast<T*>(photo.x_hat) + patch * args.width, *y = static_cast<T*>(photo.y) + patch * args.width;
  float sum = 0;
  for (int64_t c = lane; c < args.width; c += kWarp) sum += sums[c] = to_float(a[c]) + b[c];
  const auto [mean, rstd] = moments_of(sums, sum, args.width);
  for (int64_t c = lane; c < args.width; c += kWarp) {
    const float value = (sums[c] - mean) * rstd;
    store(x_hat + c, value);
    store(y + c, value * args.gamma[c] + args.beta[c]);
  }
  if (lane == 0) photo.rstd[patch] = rstd;
}

template <class Residual, class Out>
int layer_norm_as(Stream stream, const LayerNorm& args) {
  constexpr int kNarrow = 8, kWide = 16;  // vectors of a lane
  const int64_t vectors = args.width % 4 == 0 ? blocks_for(args.width, 4 * kWarp) : INT64_MAX;
  auto* kernel = vectors <= kNarrow ? layer_norm_in_registers_kernel<Residual, Out, kNarrow>
                 : vectors <= kWide ? layer_norm_in_registers_kernel<Residual, Out, kWide>
                                    : layer_norm_kernel<Residual, Out>;
  return launch(stream, kernel, blocks_for(args.rows, kRows), kThreads, args);
}

}  // namespace

int layer_norm(Stream stream, const LayerNorm& args) {
  if (args.residual_bfloat16)
    return args.y_bfloat16 ? layer_norm_as<BFloat16, BFloat16>(stream, args) : layer_norm_as<BFloat16, float>(stream, args);
  return args.y_bfloat16 ? layer_norm_as<float, BFloat16>(stream, args) : layer_norm_as<float, float>(stream, args);
}

int add_patches(Stream stream, const AddPatches& args) {
  const unsigned blocks = most_blocks(args.photos, [](const auto& photo) { return blocks_for(photo.patches, kRows); });
  return launch(stream, args.bfloat16 ? add_patches_kernel<BFloat16> : add_patches_kernel<float>, {blocks, 1, depth_of(args.photos)},
                kThreads, args);
}

}  // namespace clip_es::cuda
