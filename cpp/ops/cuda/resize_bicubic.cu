// Integers throughout, so that the bytes are Pillow's on every device. A thread makes one pixel of a row (all three channels share its
// weights) or one byte of a column (neighbours read neighbours).
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

__global__ void resize_rows_kernel(ResizeRows in) {
  const int64_t index = global_thread();
  if (index >= in.rows * in.out_width) return;
  const int64_t y = index / in.out_width, x = index % in.out_width;
  const uint8_t* from = in.in + (y * in.in_width + in.taps.first[x]) * in.channels;
  const int32_t* weight = in.taps.weights + x * in.taps.taps;
  const int64_t green = in.channels == 1 ? 0 : 1, blue = in.channels == 1 ? 0 : 2;
  int32_t red_sum = kHalf, green_sum = kHalf, blue_sum = kHalf;
  for (int32_t i = 0; i < in.taps.count[x]; ++i) {
    red_sum += from[i * in.channels] * weight[i];
    green_sum += from[i * in.channels + green] * weight[i];
    blue_sum += from[i * in.channels + blue] * weight[i];
  }
  uint8_t* to = in.out + index * 3;
  to[0] = to_byte(red_sum);
  to[1] = to_byte(green_sum);
  to[2] = to_byte(blue_sum);
}

__global__ void resize_columns_kernel(ResizeColumns in) {
  const int64_t stride = in.width * 3, index = global_thread();
  if (index >= in.out_height * stride) return;
  const int64_t y = index / stride, byte = index % stride;
  const uint8_t* from = in.in + in.taps.first[y] * stride + byte;
  const int32_t* weight = in.taps.weights + y * in.taps.taps;
  int32_t sum = kHalf;
  for (int32_t i = 0; i < in.taps.count[y]; ++i) sum += from[i * stride] * weight[i];
  in.out[index] = to_byte(sum);
}

}  // namespace

int resize_rows(Stream stream, const ResizeRows& in) {
  return launch(stream, resize_rows_kernel, blocks_for(in.rows * in.out_width, kThreads), kThreads, in);
}

int resize_columns(Stream stream, const ResizeColumns& in) {
  return launch(stream, resize_columns_kernel, blocks_for(in.out_height * in.width * 3, kThreads), kThreads, in);
}

}  // namespace clip_es::cuda
