// box_mask, refine_cams, make_pseudo_mask and score_labels.
#include "device/cuda/device.h"

namespace clip_es::cuda {

void CudaDevice::box_mask(HostContext& c, const float* cams, int64_t labels, const Grid& grid, const BoxSettings& settings,
                          uint8_t* boxes) {
  Arena::Scope scope(c.arena);
  const auto scratch = c.arena.take<int32_t>(static_cast<size_t>(6 * labels * grid.patches()));
  gpu_->box_mask({cams, labels, grid.height, grid.width, settings.threshold, scratch.data(), boxes});
}

void CudaDevice::refine_cams(HostContext& c, const float* attention, int64_t patches, const float* cams, const uint8_t* boxes,
                             int64_t labels, const AffinitySettings& settings, float* refined) {
  c.checkpoint();
  const auto n = static_cast<size_t>(patches);
  Arena::Scope scope(c.arena);
  const auto once = c.arena.take<float>(n * static_cast<size_t>(labels));
  std::span<float> row_factor, column_factor;
  if (settings.sinkhorn_rounds == 0) {
    const std::vector<float> ones(n, 1.0f);
    row_factor = column_factor = {send(c.arena, std::span<const float>(ones)), n};
  } else {
    row_factor = c.arena.take<float>(n);
    column_factor = c.arena.take<float>(n);
  }
  for (int round = 0; round < settings.sinkhorn_rounds; ++round) {
    gpu_->sinkhorn_columns({attention, patches, round > 0 ? row_factor.data() : nullptr, column_factor.data()});
    gpu_->sinkhorn_rows({attention, patches, column_factor.data(), row_factor.data()});
  }
  gpu_->apply_affinity({attention, row_factor.data(), column_factor.data(), patches, labels, cams, boxes, once.data()});
  gpu_->apply_affinity({attention, row_factor.data(), column_factor.data(), patches, labels, once.data(), nullptr, refined});
}

void CudaDevice::make_pseudo_mask(HostContext& c, float* maps, const Grid& grid, std::span<const uint8_t> value, int64_t width,
                                  int64_t height, const MaskSettings& settings, const MaskOutputs& host) {
  c.checkpoint();
  const auto labels = static_cast<int64_t>(value.size());
  const int64_t pixels = width * height;
  Arena::Scope scope(c.arena);
  const auto take = [&]<class T>(const T* wanted, int64_t count) {
    return wanted ? c.arena.take<T>(static_cast<size_t>(count)).data() : nullptr;
  };
  uint8_t* mask = take(host.mask, pixels);
  float *confidence = take(host.confidence, pixels), *enlarged = take(host.maps, labels * pixels);
  const uint8_t* values = send(c.arena, value);
  gpu_->min_max({maps, labels, grid.patches()});
  gpu_->pseudo_mask({maps, values, labels, grid.height, grid.width, width, height, settings.background_power, settings.ignore_below,
                     kIgnored, mask, confidence, enlarged, nullptr});
  if (mask) fetch(mask, pixels, host.mask);
  if (confidence) fetch(confidence, pixels, host.confidence);
  if (enlarged) fetch(enlarged, labels * pixels, host.maps);
}

void CudaDevice::score_labels(HostContext& c, float* maps, const Grid& grid, int64_t labels, int64_t width, int64_t height,
                              const MaskSettings& settings, float* host_scores) {
  c.checkpoint();
  const int64_t pixels = width * height;
  Arena::Scope scope(c.arena);
  const auto scores = c.arena.take<float>(static_cast<size_t>((labels + 1) * pixels));
  gpu_->min_max({maps, labels, grid.patches()});
  gpu_->pseudo_mask({maps, nullptr, labels, grid.height, grid.width, width, height, settings.background_power, settings.ignore_below,
                     kIgnored, nullptr, nullptr, scores.data() + pixels, scores.data()});
  fetch(scores.data(), (labels + 1) * pixels, host_scores);
}

}  // namespace clip_es::cuda
