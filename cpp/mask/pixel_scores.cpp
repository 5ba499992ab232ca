#include "mask/pixel_scores.h"

#include <algorithm>
#include <cmath>

#include "ops/ops.h"

namespace clip_es {
namespace {

bool is_kept(float score, float min_score) { return score >= min_score; }

}  // namespace

PixelScores take_scores(HostContext& context, int64_t labels, const PhotoSize& size) {
  return {context.arena.take<float>((labels + 1) * size.pixels()), labels, size};
}

void add_scores(HostContext& context, const PixelScores& scores, bool mirrored, const PixelScores& sum) {
  const int64_t width = scores.size.width;
  context.pool.run((scores.labels + 1) * scores.size.height, [&](int64_t index, int) {
    const auto from = scores.data.subspan(index * width, width);
    if (mirrored) std::ranges::reverse(from);
    ops::add_scaled(&sum.data[index * width], from.data(), width, 1);
  });
}

void divide(HostSpan<float> values, int64_t count) {
  for (float& value : values) value /= static_cast<float>(count);
}

void largest_scores(HostContext& context, const PixelScores& scores, HostSpan<float> largest) {
  context.pool.run(scores.labels, [&](int64_t k, int) {
    float most = 0;
    bool has_nan = false;
    for (const float score : scores.label(k)) {
      most = score > most ? score : most;
      has_nan |= score != score;
    }
    largest[k] = has_nan ? NAN : most;  // for require_finite()
  });
}

KeptLabels keep_labels(HostContext& context, const PixelScores& scores, HostSpan<const float> label_scores, float min_score,
                       HostSpan<const uint8_t> value) {
  const auto kept_value = context.arena.take<uint8_t>(value.size());
  int64_t kept = 0;
  for (int64_t k = 0; k < scores.labels; ++k) {
    if (!is_kept(label_scores[k], min_score)) continue;
    if (kept < k) std::ranges::copy(scores.label(k), scores.label(kept).begin());
    kept_value[kept++] = value[k];
  }
  return {{scores.data.first((kept + 1) * scores.size.pixels()), kept, scores.size}, kept_value.first(kept)};
}

void copy_maps(const PixelScores& scores, HostSpan<const float> label_scores, float min_score, float* maps) {
  for (int64_t k = 0; k < scores.labels; ++k, maps += scores.size.pixels()) {
    if (is_kept(label_scores[k], min_score)) std::ranges::copy(scores.label(k), maps);
    else std::fill_n(maps, scores.size.pixels(), 0.0f);
  }
}

void adjust_background(HostContext& context, const PixelScores& scores, const MaskSettings& settings) {
  const float power = settings.background_power, least = settings.background_below;
  if (power == 1 && least == 0) return;
  context.pool.split(scores.size.pixels(), kFewestPixels, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) scores.data[i] = std::max(power == 1 ? scores.data[i] : std::pow(scores.data[i], power), least);
  });
}

void make_score_mask(HostContext& context, const KeptLabels& kept, const MaskSettings& settings, const MaskOutputs& outputs) {
  const auto data = kept.scores.data;
  const int64_t labels = kept.scores.labels, pixels = kept.scores.size.pixels();
  context.pool.split(pixels, kFewestPixels, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      float largest = data[i];
      uint8_t winner = kBackground;
      for (int64_t k = 1; k <= labels; ++k)
        if (data[k * pixels + i] > largest) {
          largest = data[k * pixels + i];
          winner = kept.value[k - 1];
        }
      if (outputs.mask) outputs.mask[i] = largest < settings.ignore_below ? kIgnored : winner;
      if (outputs.confidence) outputs.confidence[i] = largest;
    }
  });
}

}  // namespace clip_es
