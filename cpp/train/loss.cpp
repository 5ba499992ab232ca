#include "loss.h"

#include "pictures.h"

namespace clip_es::train {
namespace {

// Nearest pixel, half-pixel centres: the same pixels for labels and confidence.
torch::Tensor reduce(const torch::Tensor& map, int64_t height, int64_t width) {
  if (map.size(1) == height && map.size(2) == width) return map;
  const auto nearest = [&](int64_t from, int64_t to) {
    const auto centres =
        (torch::arange(to, map.options().dtype(torch::kFloat64)) + 0.5) * (static_cast<double>(from) / static_cast<double>(to));
    return centres.floor().to(torch::kInt64).clamp_max(from - 1);
  };
  return map.index_select(1, nearest(map.size(1), height)).index_select(2, nearest(map.size(2), width));
}

torch::Tensor weighted_mean(const torch::Tensor& values, const torch::Tensor& weights) {
  const torch::Tensor sum = weights.sum();
  return (values * weights).sum() / torch::where(sum > 0, sum, torch::ones_like(sum));
}

// The mean of the two means, or the only one if the other has no pixels.
torch::Tensor balanced_mean(const torch::Tensor& values, const torch::Tensor& weights, const torch::Tensor& labels) {
  const torch::Tensor background = weights * (labels == 0), objects = weights * (labels != 0);
  const torch::Tensor groups = (background.sum() > 0).to(values.dtype()) + (objects.sum() > 0).to(values.dtype());
  return (weighted_mean(values, background) + weighted_mean(values, objects)) / groups.clamp_min(1);
}

}  // namespace

torch::Tensor pixel_weights(const torch::Tensor& labels, const torch::Tensor& confidence, ConfidenceMode mode, double threshold) {
  const torch::Tensor known = (labels != kIgnored).to(confidence.dtype());
  if (mode == ConfidenceMode::kHard) return known * (confidence >= threshold);
  if (mode == ConfidenceMode::kSoft) return known * ((2 * confidence - 1) / (2 * threshold - 1)).clamp(0, 1);
  return known;
}

torch::Tensor confidence_guided_loss(const torch::Tensor& logits, const torch::Tensor& labels, const torch::Tensor& confidence,
                                     const TrainingSettings& settings) {
  const torch::Tensor targets = reduce(labels, logits.size(2), logits.size(3)).to(torch::kInt64);
  const torch::Tensor sure = reduce(confidence, logits.size(2), logits.size(3));
  const torch::Tensor weights = pixel_weights(targets, sure, settings.confidence, settings.threshold);
  namespace F = torch::nn::functional;
  const torch::Tensor values =
      F::cross_entropy(logits, targets, F::CrossEntropyFuncOptions().ignore_index(kIgnored).reduction(torch::kNone));
  return settings.balanced ? balanced_mean(values, weights, targets) : weighted_mean(values, weights);
}

}  // namespace clip_es::train
