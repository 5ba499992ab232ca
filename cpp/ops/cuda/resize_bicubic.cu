// Pillow's bicubic resize in two passes, rows then columns, with integer weights (see resize.cuh).
// Integers make the bytes equal to Pillow's on every device. The last resize of a photo has its column pass in extract_patches. Twins:
// ops/cpu/resize_bicubic.cpp, reference/resize_bicubic.cpp. Row pass: one thread per pixel, because the three channels share their weights.
// Column pass: one thread per byte, so that neighbouring threads read neighbouring bytes.
#include "ops/cuda/resize.cuh"

namespace clip_es::cuda {
namespace {

constexpr int kThreads = 256;

__global__ void __launch_bounds__(kThreads) resize_rows_kernel(const __grid_constant__ ResizeRows args) {
  const ResizeRowsPhoto& photo = args.photos.photo[blockIdx.z];
  const int64_t index = global_thread();
  if (index >= photo.rows * photo.out_width) return;
  const int width = static_cast<int>(photo.out_width), channels = static_cast<int>(photo.channels);
  const int y = static_cast<int>(index) / width, x = static_cast<int>(index) % width;
  const uint8_t* from = photo.in + (y * photo.in_width + photo.taps.first[x]) * channels;
  const int32_t* weight = photo.taps.weights + x * photo.taps.stride;
  const int green = channels == 1 ? 0 : 1, blue = channels == 1 ? 0 : 2, taps = photo.taps.count[x];
  int32_t red_sum = kHalf, green_sum = kHalf, blue_sum = kHalf;
  for (int i = 0; i < taps; ++i) {
    red_sum += from[i * channels] * weight[i];
    green_sum += from[i * channels + green] * weight[i];
    blue_sum += from[i * channels + blue] * weight[i];
  }
  uint8_t* to = photo.out + index * 3;
  to[0] = to_byte(red_sum);
  to[1] = to_byte(green_sum);
  to[2] = to_byte(blue_sum);
}

__global__ void __launch_bounds__(kThreads) resize_columns_kernel(const __grid_constant__ ResizeColumns args) {
  const ResizeColumnsPhoto& photo = args.photos.photo[blockIdx.z];
  const int64_t index = global_thread();
  if (index >= photo.out_height * photo.width * 3) return;
  const int stride = static_cast<int>(photo.width) * 3;
  const int y = static_cast<int>(index) / stride, byte = static_cast<int>(index) % stride;
  photo.out[index] = resized_byte(photo.taps, y, photo.in + byte, stride);
}

}  // namespace

int resize_rows(Stream stream, const ResizeRows& args) {
  const unsigned blocks = most_blocks(args.photos, [](const auto& photo) { return blocks_for(photo.rows * photo.out_width, kThreads); });
  return launch(stream, resize_rows_kernel, {blocks, 1, depth_of(args.photos)}, kThreads, args);
}

int resize_columns(Stream stream, const ResizeColumns& args) {
  const unsigned blocks =
      most_blocks(args.photos, [](const auto& photo) { return blocks_for(photo.out_height * photo.width * 3, kThreads); });
  return launch(stream, resize_columns_kernel, {blocks, 1, depth_of(args.photos)}, kThreads, args);
}

}  // namespace clip_es::cuda
