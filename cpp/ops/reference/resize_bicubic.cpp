// The result of Pillow's Image.resize(size, BICUBIC) for 8-bit RGB (libImaging/Resample.c), computed for one output pixel at a time. A
// pixel is a weighted sum of the input pixels under a cubic filter that is centred on it, and wider when the image shrinks. The weights
// sum to one and are rounded to 22 fractional bits. The sum is rounded and clamped to a byte. First along rows, then along columns.
#include <algorithm>
#include <cmath>

#include "ops/reference/reference.h"

namespace clip_es::reference {
namespace {

// Keys' cubic convolution with a = -0.5. It is zero for |x| >= 2.
double cubic(double x) {
  const double a = -0.5, t = std::abs(x);
  if (t < 1) return ((a + 2) * t - (a + 3)) * t * t + 1;
  if (t < 2) return (((t - 5) * t + 8) * t - 4) * a;
  return 0;
}

struct Share {
  int64_t pixel;
  int64_t weight;  // in 1 / 2^22
};

std::vector<Share> shares_of(int64_t out_pixel, int64_t in_size, int64_t out_size) {
  const double scale = static_cast<double>(in_size) / static_cast<double>(out_size);
  const double widened = std::max(1.0, scale), reach = 2 * widened;
  const double centre = (out_pixel + 0.5) * scale;
  const int64_t first = std::max<int64_t>(0, static_cast<int64_t>(centre - reach + 0.5));
  const int64_t last = std::min<int64_t>(in_size, static_cast<int64_t>(centre + reach + 0.5));  // exclusive
  std::vector<double> exact;
  double sum = 0;
  for (int64_t i = first; i < last; ++i) {
    exact.push_back(cubic((static_cast<double>(i) - centre + 0.5) * (1 / widened)));
    sum += exact.back();
  }
  std::vector<Share> shares;
  for (int64_t i = first; i < last; ++i) {
    const double weight = exact[i - first] / sum * 4194304;  // 2^22
    shares.push_back({i, static_cast<int64_t>(weight < 0 ? weight - 0.5 : weight + 0.5)});
  }
  return shares;
}

// The byte of one channel: in(i) is the i-th pixel of the row or column.
template <class Pixels>
uint8_t weigh(int64_t out_pixel, int64_t in_size, int64_t out_size, Pixels in) {
  int64_t sum = 1 << 21;  // one half
  for (const Share& s : shares_of(out_pixel, in_size, out_size)) sum += in(s.pixel) * s.weight;
  return static_cast<uint8_t>(std::clamp<int64_t>(sum >> 22, 0, 255));
}

}  // namespace

std::vector<uint8_t> resize_bicubic(std::span<const uint8_t> image, int64_t width, int64_t height, int64_t out_width, int64_t out_height) {
  auto index = [](int64_t y, int64_t x, int64_t c, int64_t row_width) { return static_cast<size_t>((y * row_width + x) * 3 + c); };
  std::vector<uint8_t> wide(static_cast<size_t>(height * out_width * 3));
  for (int64_t y = 0; y < height; ++y)
    for (int64_t x = 0; x < out_width; ++x)
      for (int64_t c = 0; c < 3; ++c)
        wide[index(y, x, c, out_width)] = weigh(x, width, out_width, [&](int64_t i) { return image[index(y, i, c, width)]; });
  std::vector<uint8_t> out(static_cast<size_t>(out_height * out_width * 3));
  for (int64_t y = 0; y < out_height; ++y)
    for (int64_t x = 0; x < out_width; ++x)
      for (int64_t c = 0; c < 3; ++c)
        out[index(y, x, c, out_width)] = weigh(y, height, out_height, [&](int64_t i) { return wide[index(i, x, c, out_width)]; });
  return out;
}

}  // namespace clip_es::reference
