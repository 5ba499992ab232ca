// Pillow's bicubic resize in two passes, rows then columns: out = clamp((2^21 + sum of byte * weight) >> 22), with integer weights.
// Integers make the bytes equal to Pillow's on every device. Twins: ops/cpu/resize_bicubic.cpp, reference/resize_bicubic.cpp.
// Row pass: one thread per pixel, because the three channels share their weights. Column pass: one thread per byte, so that neighbouring
// threads read neighbouring bytes.
#include "ops/cuda/common.cuh"

namespace clip_es::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kFractionBits = 22;
constexpr int32_t kHalf = 1 << (kFractionBits - 1);

__device__ uint8_t to_byte(int32_t sum) {
  const int32_t value = sum >> kFractionBits;
  return static_cast<uint8_t>(value < 0 ? 0 : value > 255 ? 255 : value);
}

__global__ void __launch_bounds__(kThreads) resize_rows_kernel(ResizeRows args) {
  const int64_t index = global_thread();
  if (index >= args.rows * args.out_width) return;
  const int64_t y = index / args.out_width, x = index % args.out_width;
  const uint8_t* from = args.in + (y * args.in_width + args.taps.first[x]) * args.channels;
  const int32_t* weight = args.taps.weights + x * args.taps.stride;
  const int64_t green = args.channels == 1 ? 0 : 1, blue = args.channels == 1 ? 0 : 2;
  int32_t red_sum = kHalf, green_sum = kHalf, blue_sum = kHalf;
  for (int32_t i = 0; i < args.taps.count[x]; ++i) {
    red_sum += from[i * args.channels] * weight[i];
    green_sum += from[i * args.channels + green] * weight[i];
    blue_sum += from[i * args.channels + blue] * weight[i];
  }
  uint8_t* to = args.out + index * 3;
  to[0] = to_byte(red_sum);
  to[1] = to_byte(green_sum);
  to[2] = to_byte(blue_sum);
}

__global__ void __launch_bounds__(kThreads) resize_columns_kernel(ResizeColumns args) {
  const int64_t stride = args.width * 3, index = global_thread();
  if (index >= args.out_height * stride) return;
  const int64_t y = index / stride, byte = index % stride;
  const uint8_t* from = args.in + args.taps.first[y] * stride + byte;
  const int32_t* weight = args.taps.weights + y * args.taps.stride;
  int32_t sum = kHalf;
  for (int32_t i = 0; i < args.taps.count[y]; ++i) sum += from[i * stride] * weight[i];
  args.out[index] = to_byte(sum);
}

}  // namespace

int resize_rows(Stream stream, const ResizeRows& args) {
  return launch(stream, resize_rows_kernel, blocks_for(args.rows * args.out_width, kThreads), kThreads, args);
}

int resize_columns(Stream stream, const ResizeColumns& args) {
  return launch(stream, resize_columns_kernel, blocks_for(args.out_height * args.width * 3, kThreads), kThreads, args);
}

}  // namespace clip_es::cuda
