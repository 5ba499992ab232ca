#include "mask/score_mask.h"

#include <algorithm>
#include <cmath>

namespace clip_es {
namespace {

constexpr int64_t kSmallestShare = 1 << 14;  // the fewest pixels for which another thread saves time

}  // namespace

void make_score_mask(HostContext& context, HostSpan<float> scores, std::span<const uint8_t> value, const PhotoSize& size,
                     const MaskSettings& settings, const MaskOutputs& outputs, HostSpan<float> largest_of_label) {
  const int64_t pixels = size.pixels(), labels = std::ssize(value);
  context.pool.split(pixels, kSmallestShare, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      if (settings.background_power != 1) scores[i] = std::pow(scores[i], settings.background_power);
      float largest = scores[i];
      uint8_t winner = kBackground;
      for (int64_t k = 1; k <= labels; ++k)
        if (scores[k * pixels + i] > largest) {
          largest = scores[k * pixels + i];
          winner = value[k - 1];
        }
      if (outputs.mask) outputs.mask[i] = largest < settings.ignore_below ? kIgnored : winner;
      if (outputs.confidence) outputs.confidence[i] = largest;
    }
  });
  context.pool.run(labels, [&](int64_t k, int) {
    float& most = largest_of_label[k] = 0;
    for (const float score : scores.subspan((k + 1) * pixels, pixels))
      most = score <= most ? most : score;  // keeps a NaN for require_finite()
  });
  if (outputs.maps) std::ranges::copy(scores.subspan(pixels), outputs.maps);
}

}  // namespace clip_es
