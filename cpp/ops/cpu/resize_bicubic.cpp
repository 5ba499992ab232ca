// Gives the same bytes as Pillow (2.7 and later, libImaging/Resample.c): weights are computed in double precision and rounded to 22
// fractional bits, sums are int32, and each pass rounds to 8 bits once.
#include <algorithm>
#include <cmath>

#include "ops/ops.h"
#include "ops/resize_weights.h"

namespace clip_es::ops {
namespace {

constexpr int kChannels = 3;
constexpr int kFractionBits = 22;
constexpr double kSupport = 2.0;  // the filter is zero outside of this distance
constexpr int64_t kSmallestRows = 8;

double bicubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

}  // namespace

ResizeWeights resize_weights(Arena& arena, int64_t in_size, int64_t out_size) {
  const double scale = static_cast<double>(in_size) / static_cast<double>(out_size);
  const double stretch = std::max(scale, 1.0);  // the filter is wider when the photo shrinks (antialiasing)
  const double support = kSupport * stretch;
  ResizeWeights w;
  w.taps = static_cast<int64_t>(std::ceil(support)) * 2 + 1;
  const size_t pixels = out_size;
  w.first = arena.take<int32_t>(pixels);
  w.count = arena.take<int32_t>(pixels);
  w.weights = arena.take<int32_t>(pixels * static_cast<size_t>(w.taps));
  const auto exact = arena.take<double>(w.taps);
  for (size_t pixel = 0; pixel < pixels; ++pixel) {
    const double centre = (pixel + 0.5) * scale;
    const auto low = std::max<int64_t>(static_cast<int64_t>(centre - support + 0.5), 0);
    const auto high = std::min<int64_t>(static_cast<int64_t>(centre + support + 0.5), in_size);
    double sum = 0;
    for (int64_t i = low; i < high; ++i) {
      const double value = bicubic((static_cast<double>(i) - centre + 0.5) * (1 / stretch));  // multiplied by the inverse, as Pillow does
      exact[i - low] = value;
      sum += value;
    }
    for (int64_t i = low; i < high; ++i) {
      const double value = exact[i - low] / sum * (1 << kFractionBits);
      w.weights[pixel * static_cast<size_t>(w.taps) + static_cast<size_t>(i - low)] =
          static_cast<int32_t>(value < 0 ? value - 0.5 : value + 0.5);
    }
    w.first[pixel] = static_cast<int32_t>(low);
    w.count[pixel] = static_cast<int32_t>(high - low);
  }
  return w;
}

namespace {

constexpr int32_t kHalf = 1 << (kFractionBits - 1);
uint8_t to_byte(int32_t sum) { return static_cast<uint8_t>(std::clamp(sum >> kFractionBits, 0, 255)); }

void resize_rows(HostContext& context, const uint8_t* in, int64_t in_width, int64_t rows, int64_t out_width, uint8_t* out) {
  Arena::Scope scope(context.arena);
  const ResizeWeights w = resize_weights(context.arena, in_width, out_width);
  context.pool.split(rows, kSmallestRows, [&](int64_t begin, int64_t end) {
    for (int64_t y = begin; y < end; ++y)
      for (int64_t x = 0; x < out_width; ++x) {
        const size_t pixel = x;
        const uint8_t* from = in + (y * in_width + w.first[pixel]) * kChannels;
        const int32_t* weight = &w.weights[pixel * static_cast<size_t>(w.taps)];
        int32_t sum[kChannels] = {kHalf, kHalf, kHalf};
        for (int32_t i = 0; i < w.count[pixel]; ++i)
          for (int c = 0; c < kChannels; ++c) sum[c] += from[i * kChannels + c] * weight[i];
        for (int c = 0; c < kChannels; ++c) out[(y * out_width + x) * kChannels + c] = to_byte(sum[c]);
      }
  });
}

void resize_columns(HostContext& context, const uint8_t* in, int64_t in_height, int64_t width, int64_t out_height, uint8_t* out) {
  Arena::Scope scope(context.arena);
  const ResizeWeights w = resize_weights(context.arena, in_height, out_height);
  const int64_t stride = width * kChannels;
  const auto sums = context.arena.take<int32_t>(context.pool.size() * stride);
  context.pool.run(out_height, [&](int64_t y, int worker) {
    const size_t pixel = y;
    int32_t* sum = sums.data() + worker * stride;
    std::fill_n(sum, stride, kHalf);
    for (int32_t i = 0; i < w.count[pixel]; ++i) {
      const uint8_t* from = in + (w.first[pixel] + i) * stride;
      const int32_t weight = w.weights[pixel * static_cast<size_t>(w.taps) + static_cast<size_t>(i)];
      for (int64_t b = 0; b < stride; ++b) sum[b] += from[b] * weight;
    }
    for (int64_t b = 0; b < stride; ++b) out[y * stride + b] = to_byte(sum[b]);
  });
}

}  // namespace

void resize_bicubic(HostContext& context, const uint8_t* image, int64_t width, int64_t height, int64_t out_width, int64_t out_height,
                    uint8_t* out) {
  Arena::Scope scope(context.arena);
  if (width == out_width && height == out_height) {
    std::copy_n(image, width * height * kChannels, out);
  } else if (height == out_height) {
    resize_rows(context, image, width, height, out_width, out);
  } else if (width == out_width) {
    resize_columns(context, image, height, width, out_height, out);
  } else {
    const auto between = context.arena.take<uint8_t>(out_width * height * kChannels);
    resize_rows(context, image, width, height, out_width, between.data());
    resize_columns(context, between.data(), height, out_width, out_height, out);
  }
}

}  // namespace clip_es::ops
