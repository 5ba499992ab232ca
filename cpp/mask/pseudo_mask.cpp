#include "mask/pseudo_mask.h"

#include <algorithm>
#include <cmath>

#include "ops/ops.h"

namespace clip_es {
namespace {

float background_score(float largest, const MaskSettings& settings) {
  const float score = settings.background_power == 1 ? 1 - largest : std::pow(1 - largest, settings.background_power);
  return std::max(score, settings.background_below);
}

// rows[k] is a row of map k.
void label_row(std::span<const float* const> rows, std::span<const uint8_t> value, int64_t width, const MaskSettings& settings,
               uint8_t* mask, float* confidence) {
  for (int64_t x = 0; x < width; ++x) {
    float largest = rows[0][x];
    size_t winner = 0;
    for (size_t k = 1; k < rows.size(); ++k)
      if (rows[k][x] > largest) {
        largest = rows[k][x];
        winner = k;
      }
    const float background = background_score(largest, settings);
    const float score = std::max(background, largest);
    const uint8_t label = background >= largest ? kBackground : value[winner];
    if (mask) mask[x] = score < settings.ignore_below ? kIgnored : label;
    if (confidence) confidence[x] = score;
  }
}

}  // namespace

void make_pseudo_mask(HostContext& context, const HostMaps& maps, std::span<const uint8_t> value, const PhotoSize& size,
                      const MaskSettings& settings, const MaskOutputs& outputs) {
  const int64_t width = size.width, height = size.height;
  const Grid& grid = maps.grid;
  const int64_t labels = maps.labels;
  for (int64_t k = 0; k < labels; ++k) ops::min_max(maps.map(k).data(), grid.patches());
  Arena::Scope scope(context.arena);
  const auto vertical = context.arena.take<ops::Tap>(height), horizontal = context.arena.take<ops::Tap>(width);
  ops::bilinear_taps(grid.height, height, vertical);
  ops::bilinear_taps(grid.width, width, horizontal);
  const auto scratch = context.arena.take<float>(outputs.maps ? 0 : static_cast<size_t>(context.pool.size() * labels * width));
  const auto row_pointers = context.arena.take<const float*>(context.pool.size() * labels);
  context.pool.run(height, [&](int64_t y, int worker) {
    context.checkpoint();
    const std::span<const float*> rows = row_pointers.subspan(worker * labels, labels);
    for (int64_t k = 0; k < labels; ++k) {
      float* row = outputs.maps ? outputs.maps + (k * height + y) * width : scratch.data() + (worker * labels + k) * width;
      // The result is at most 1: the maps are at most 1, and rounding is monotonic, so no sum exceeds round(round(1 - f) + f), which is 1.
      ops::resize_bilinear_row(maps.map(k).data(), grid.width, vertical[y], horizontal, row);
      rows[k] = row;
    }
    if (outputs.mask || outputs.confidence)
      label_row(rows, value, width, settings, outputs.mask ? outputs.mask + y * width : nullptr,
                outputs.confidence ? outputs.confidence + y * width : nullptr);
  });
}

void score_pixels(HostContext& context, const HostMaps& maps, const PhotoSize& size, float* scores) {
  make_pseudo_mask(context, maps, {}, size, {}, {.maps = scores});  // no mask is requested, so no values are used
}

void background_from_maps(HostContext& context, const MaskSettings& settings, int64_t labels, int64_t pixels, float* scores) {
  context.pool.split(pixels, kFewestPixels, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      float largest = labels == 0 ? 0 : scores[pixels + i];
      for (int64_t k = 2; k <= labels; ++k) largest = std::max(largest, scores[k * pixels + i]);
      scores[i] = background_score(largest, settings);
    }
  });
}

}  // namespace clip_es
