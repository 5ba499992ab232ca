#include "augmentation.h"

#include <algorithm>
#include <cmath>

namespace clip_es::train {
namespace {

// Where a row or column of the result comes from.
struct Source {
  bool inside;     // false: padding
  int low, high;   // the two pixels of the bilinear mean
  float fraction;  // the weight of `high`
  int nearest;
};

// One axis: a window of the axis after it was scaled from `size` to `scaled` pixels. float, as in PyTorch's interpolate().
std::vector<Source> sources_of(int size, int scaled, int start, int window, bool mirrored) {
  std::vector<Source> sources(static_cast<size_t>(window));
  const float step = static_cast<float>(size) / static_cast<float>(scaled);
  for (int i = 0; i < window; ++i) {
    Source& source = sources[static_cast<size_t>(mirrored ? window - 1 - i : i)];
    const int position = start + i;
    source.inside = position < scaled;
    if (!source.inside) continue;
    const float centre = (static_cast<float>(position) + 0.5f) * step;
    const float exact = std::max(centre - 0.5f, 0.0f);
    source.low = std::min(static_cast<int>(exact), size - 1);
    source.high = std::min(source.low + 1, size - 1);
    source.fraction = exact - static_cast<float>(source.low);
    source.nearest = std::min(static_cast<int>(centre), size - 1);
  }
  return sources;
}

struct Axes {
  std::vector<Source> rows, columns;
};

Axes choose_axes(int width, int height, const AugmentationSettings& settings, const Draws& draws) {
  const double scale = settings.smallest_scale + draws.scale * (settings.largest_scale - settings.smallest_scale);
  const auto axis = [&](int size, double place, bool mirrored) {
    const int scaled = std::max(1, static_cast<int>(std::lround(size * scale)));
    const int start = static_cast<int>(place * (std::max(scaled - settings.crop, 0) + 1));
    return sources_of(size, scaled, start, settings.crop, mirrored);
  };
  return {axis(height, draws.top, false), axis(width, draws.left, settings.flip && draws.flip < 0.5)};
}

void sample_image(const Photo& photo, const Axes& axes, const Normalisation& normalisation, std::span<float> image) {
  const size_t plane = axes.rows.size() * axes.columns.size();
  for (int c = 0; c < 3; ++c) {
    float* out = image.data() + static_cast<size_t>(c) * plane;
    const uint8_t* channel = photo.rgb.data() + normalisation.channels[c];
    const float mean = normalisation.mean[c], factor = normalisation.factor[c];
    for (const Source& y : axes.rows)
      for (const Source& x : axes.columns) {
        float value = mean;
        if (y.inside && x.inside) {
          const auto at = [&](int row, int column) {
            return static_cast<float>(
                channel[3 * (static_cast<size_t>(row) * static_cast<size_t>(photo.width) + static_cast<size_t>(column))]);
          };
          const float above = at(y.low, x.low) * (1 - x.fraction) + at(y.low, x.high) * x.fraction;
          const float below = at(y.high, x.low) * (1 - x.fraction) + at(y.high, x.high) * x.fraction;
          value = above * (1 - y.fraction) + below * y.fraction;
        }
        *out++ = (value - mean) * factor;
      }
  }
}

// `value(i)`: of pixel i of the mask or map.
template <class T, class Value>
void sample_nearest(const Axes& axes, int width, T padding, const Value& value, std::span<T> out) {
  T* next = out.data();
  for (const Source& y : axes.rows)
    for (const Source& x : axes.columns) {
      const bool inside = y.inside && x.inside;
      *next++ = inside ? value(static_cast<size_t>(y.nearest) * static_cast<size_t>(width) + static_cast<size_t>(x.nearest)) : padding;
    }
}

}  // namespace

Draws draw(Random& random) {
  Draws draws{};
  draws.scale = random.uniform();
  draws.top = random.uniform();
  draws.left = random.uniform();
  draws.flip = random.uniform();
  return draws;
}

void augment(const Photo& photo, const Mask& mask, const Confidence& confidence, const AugmentationSettings& settings, const Draws& draws,
             const Normalisation& normalisation, const Crop& out) {
  const Axes axes = choose_axes(photo.width, photo.height, settings, draws);
  sample_image(photo, axes, normalisation, out.image);
  sample_nearest(
      axes, mask.width, kIgnored, [&](size_t i) { return mask.labels[i]; }, out.labels);
  const auto confidence_at = [&](size_t i) { return confidence.values.empty() ? 1.0f : confidence.values[i]; };
  sample_nearest(axes, mask.width, 0.0f, confidence_at, out.confidence);
}

}  // namespace clip_es::train
